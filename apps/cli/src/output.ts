import { toAppError } from '@embergate/contracts/errors.ts';
import type { CollectionList } from '@embergate/contracts/http-cluster.ts';
import pc from 'picocolors';

/** Exit codes of the contract. */
export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/**
 * Paths, symbols and texts are somebody's: what moves the cursor, sets a title or turns the writing direction must not
 * reach the terminal. Line ends, tabs and the colours that picocolors sets may.
 */
const printable = (text: string): string =>
  text.replace(/\x1b\[\d{1,3}m|[\n\t]|[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (found) =>
    found.length > 1 || found === '\n' || found === '\t' ? found : ' ',
  );

/** stdout is for results; colours only on a terminal (picocolors looks, and honours NO_COLOR). */
export const print = (text: string): void => void process.stdout.write(`${printable(text)}\n`);
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));

/** On stderr: code, what happened, what to do. @returns the exit code. */
export function printError(thrown: unknown): number {
  const error = toAppError(thrown);
  process.stderr.write(printable(`${pc.red(error.code)}: ${error.message}`) + '\n');
  return error.code === 'usage' || error.code === 'config_invalid' ? EXIT.usage : EXIT.failed;
}

/** On stderr: the collections that the store does not tell about, beside those that it does. */
export function printUnreadable(unreadable: CollectionList['unreadable']): void {
  for (const { name, code, message } of unreadable)
    process.stderr.write(printable(`${pc.yellow(code)}: collection ${name}: ${message}`) + '\n');
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
