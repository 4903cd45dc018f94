import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@embergate/contracts/errors.ts';

interface HttpFailure {
  status: number | null;
  /** The server's words, or the client's where there was no answer. */
  message: string;
  /** Seconds that the server asks to wait. */
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

/** Any failure of Qdrant in Embergate's codes. `collection` is the one a 404 speaks of, where there is one. */
export function toStoreError(error: unknown, collection: string | null): AppError {
  if (error instanceof AppError) return error;
  const { status, message } = describeFailure(error);
  if (status === 404 && collection !== null) return collectionNotFound(collection, error);
  if (/dimension error/i.test(message)) {
    return new AppError('space_mismatch', `The vector does not fit the collection: ${message}`, {
      cause: error,
    });
  }
  if (status === 507 || /no space left|disk is full|out of disk|read-only file system/i.test(message)) {
    return new AppError('storage_full', 'Qdrant cannot write to its disk', { cause: error });
  }
  if (status === 401 || status === 403) {
    return new AppError('store_down', 'Qdrant refuses QDRANT_API_KEY', { cause: error });
  }
  return new AppError('store_down', 'Qdrant cannot be reached or does not answer', { cause: error });
}

const MAX_ATTEMPTS = 3;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;

/**
 * Tries a request up to three times where there was no connection, or the server said 429 or 503. All requests may be
 * repeated: each says what the state shall be and not how to change it. A timeout is not tried again: it was long.
 */
export async function retrying<T>(request: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await request();
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !mayRetry(error)) throw error;
      const { retryAfter } = describeFailure(error);
      const pause = retryAfter === null ? FIRST_PAUSE_MS * 3 ** (attempt - 1) : retryAfter * 1_000;
      await delay(Math.min(MAX_PAUSE_MS, pause) * (0.75 + Math.random() / 2));
    }
  }
}

function mayRetry(error: unknown): boolean {
  if (error instanceof AppError) return false;
  const { status } = describeFailure(error);
  if (status !== null) return status === 429 || status === 503;
  // What fetch throws when no connection came about or it broke.
  return error instanceof TypeError;
}
