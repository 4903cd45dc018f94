import { AppError } from '@embergate/contracts/errors.ts';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Tests, other people's code, files made to be parsed by tests, and what programs made. */
const LEFT_OUT = new Set([
  '__pycache__',
  '__tests__',
  'dist',
  'dist-packages',
  'fixtures',
  'idle_test',
  'node_modules',
  'site-packages',
  'test',
  'testdata',
  'tests',
  'vendor',
]);
const LEFT_OUT_FILE = /(?:_test\.go|\.(?:test|spec|min|d)\.[cm]?[jt]sx?)$/;

/**
 * The files of a folder in order of their names, apart from tests, hidden folders, and other people's code.
 * @throws AppError `source_not_found` where it can't be read.
 */
export async function* sourceFiles(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new AppError('source_not_found', `The folder ${folder} cannot be read.`, { cause });
  });
  for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    const leftOut = LEFT_OUT.has(entry.name) || entry.name.startsWith('.') || LEFT_OUT_FILE.test(entry.name);
    if (leftOut) continue;
    if (entry.isDirectory()) yield* sourceFiles(path);
    else if (entry.isFile()) yield path;
  }
}
