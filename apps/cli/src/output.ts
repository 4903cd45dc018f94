import { toAppError } from '@embergate/contracts/errors.ts';
import pc from 'picocolors';

/** Exit codes of the contract. */
export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** stdout is for results; colours only on a terminal (picocolors looks, and honours NO_COLOR). */
export const print = (text: string): void => void process.stdout.write(`${text}\n`);
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));

/** On stderr: code, what happened, what to do. @returns the exit code. */
export function printError(thrown: unknown): number {
  const error = toAppError(thrown);
  process.stderr.write(`${pc.red(error.code)}: ${error.message}\n`);
  return error.code === 'usage' || error.code === 'config_invalid' ? EXIT.usage : EXIT.failed;
}

/** Columns of text, each as wide as its widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
