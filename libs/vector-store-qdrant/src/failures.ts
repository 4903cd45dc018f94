import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@embergate/contracts/errors.ts';

interface HttpFailure {
  status: number | null;
  /** The server's words, or the client's where there was no answer. */
  message: string;
  /** Seconds that the server asks to wait, or fewer: of a number with two digits the client keeps the first one. */
  retryAfter: number | null;
}

/** The client throws three kinds of error, and its HTTP one keeps the server's words in `data.status.error`. */
export function describeFailure(error: unknown): HttpFailure {
  const { status, data, retry_after, message } = error as {
    status?: unknown;
    data?: { status?: { error?: unknown } };
    retry_after?: unknown;
    message?: unknown;
  };
  const words = data?.status?.error ?? message;
  const limited = typeof retry_after === 'number';
  return {
    status: typeof status === 'number' ? status : limited ? 429 : null,
    message: typeof words === 'string' ? words : String(error),
    retryAfter: limited ? retry_after : null,
  };
}

export const collectionNotFound = (collection: string, cause?: unknown): AppError =>
  new AppError('collection_not_found', `There is no collection "${collection}"`, { cause });

const FULL = /no space left|disk is full|out of disk|not enough space|read-only file system/i;
/** A server that is locked answers as one that knows no such key. */
const LOCKED = /\. Help: |locked/i;

/** Any failure of Qdrant in Embergate's codes. `collection` is the one a 404 speaks of, where there is one. */
export function toStoreError(error: unknown, collection: string | null): AppError {
  if (error instanceof AppError) return error;
  const { status, message, retryAfter } = describeFailure(error);
  const coded = (code: AppError['code'], words: string, details = {}): AppError =>
    new AppError(code, words, { cause: error, details });
  if (status === 404 && collection !== null) return collectionNotFound(collection, error);
  if (/dimension error/i.test(message))
    return coded('space_mismatch', `The vector does not fit the collection: ${message}`);
  if (status === 507 || FULL.test(message))
    return coded('storage_full', `Qdrant cannot write to its disk: ${message}`);
  if (status === 429) {
    const details = retryAfter === null ? {} : { retryAfterMs: retryAfter * 1_000 };
    return coded('store_busy', `Qdrant limits the rate of requests: ${message}`, details);
  }
  if ((status === 401 || status === 403) && !LOCKED.test(message))
    return coded('store_denied', `Qdrant refuses QDRANT_API_KEY: ${message}`);
  // Strict mode among them, which ends its refusals with what would be allowed.
  if (status !== null && status >= 400 && status < 500 && status !== 408)
    return coded('store_refused', `Qdrant refuses the request (${status}): ${message}`);
  return coded('store_down', `Qdrant cannot be reached or does not answer: ${message}`);
}

/** What its optimizer says, and goes on saying when there is space again: nothing that a job could wait for. */
export const optimizerFailed = (words: string): AppError =>
  new AppError(
    'store_refused',
    `Qdrant cannot optimize the collection: ${words}. It says so until it is started again.`,
  );

const MAX_ATTEMPTS = 3;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;

/**
 * Tries a request up to three times where there was no connection, it broke, or the server said 429 or 5xx. All requests may be
 * repeated: each says what the state shall be and not how to change it. A timeout is not tried again: it was long; nor
 * is what the server wants to hear no sooner than in some seconds.
 */
export async function retrying<T>(request: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await request();
    } catch (error) {
      const pause = pauseAfter(error, attempt);
      if (attempt === MAX_ATTEMPTS || pause > MAX_PAUSE_MS) throw error;
      await delay(pause * (0.75 + Math.random() / 2));
    }
  }
}

/** Milliseconds; Infinity where the request must not be tried again. */
function pauseAfter(error: unknown, attempt: number): number {
  if (error instanceof AppError) return Infinity;
  const { status, message, retryAfter } = describeFailure(error);
  if (retryAfter !== null) return retryAfter * 1_000;
  const passing =
    status === null
      ? // What fetch throws when no connection came about or it broke.
        error instanceof TypeError
      : status === 429 || (status >= 500 && status !== 507 && !FULL.test(message));
  return passing ? FIRST_PAUSE_MS * 3 ** (attempt - 1) : Infinity;
}
