import { setTimeout as delay } from 'node:timers/promises';
import { AppError, toAppError } from '@embergate/contracts/errors.ts';

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** LanceDB's errors carry a text and no code; these are the words of its Rust side and of the operating system. */
const NOT_FOUND = /^Table '.*' was not found|Not found: \S*\.lance\/_versions/s;
const CONFLICT = /commit conflict|concurrent (?:writers|transaction|commit)/i;
/** ENOENT of a folder that cannot be made, EACCES, EROFS, ENOTDIR, EFBIG, ENOSPC, EDQUOT. */
const CANNOT_WRITE =
  /os error (?:13|30|20|27|28|122)\)|No space left|Read-only file system|Permission denied/i;
const CANNOT_WRITE_CODES = new Set([
  'ENOSPC',
  'EROFS',
  'EACCES',
  'EPERM',
  'ENOTDIR',
  'EEXIST',
  'EDQUOT',
  'EFBIG',
]);

const FREE_SPACE = 'Is the disk full or read-only? Free space, or set DATA_DIR to another folder.';

export const isTableNotFound = (error: unknown): boolean => NOT_FOUND.test(messageOf(error));

export const collectionNotFound = (collection: string, cause?: unknown): AppError =>
  new AppError('collection_not_found', `There is no collection "${collection}"`, { cause });

const MAX_WORDS = 300;
/** What LanceDB says first, without the lines of its own source that it came by. */
const wordsOf = (error: unknown): string =>
  (messageOf(error).split(/\n|\s+Caused by:/)[0] ?? '')
    .replace(/, \/\S+\.rs:[\d:]+/g, '')
    .slice(0, MAX_WORDS);

/**
 * Any failure of LanceDB or the file system as `storage_full` or `store_down`, which waiting may help; an AppError stays
 * what it is. A TypeError is a mistake of our own, and `internal`.
 */
export function toStoreError(error: unknown): AppError {
  if (error instanceof AppError || error instanceof TypeError) return toAppError(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (CANNOT_WRITE_CODES.has(code) || CANNOT_WRITE.test(messageOf(error))) {
    return new AppError('storage_full', `The vector store cannot write to its folder. ${FREE_SPACE}`, {
      cause: error,
    });
  }
  return new AppError('store_down', `The vector store failed: ${wordsOf(error)}`, { cause: error });
}

const MAX_ATTEMPTS = 12;
const MAX_PAUSE_MS = 1_000;

/**
 * Runs a write again when another process committed first. LanceDB commits optimistically and merges what it can;
 * what it cannot (an update against a compaction, say) it rejects as a conflict, and nothing has been written.
 */
export async function retryingConflicts<T>(write: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await write();
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !CONFLICT.test(messageOf(error))) throw error;
      // Jitter, so that two writers that met once do not meet again.
      await delay(Math.min(MAX_PAUSE_MS, 10 * 2 ** attempt) * Math.random());
    }
  }
}
