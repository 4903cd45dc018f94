import { AppError } from '@embergate/contracts/errors.ts';

/**
 * What a failed request says of the API:
 * - `unclear`: it may be the texts or the API; a text that is known to be good tells.
 * - `away`: it cannot be reached, or has no time now.
 * - `misconfigured`: it will not answer before somebody changes something.
 */
export type Verdict = 'unclear' | 'away' | 'misconfigured';

/** A request that brought no vectors. Its message holds neither key nor texts, nor anything else that the API wrote freely. */
export class ApiError extends Error {
  readonly verdict: Verdict;
  /** How long the API asks not to be asked, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(verdict: Verdict, message: string, retryAfterMs?: number) {
    super(message);
    this.name = 'ApiError';
    this.verdict = verdict;
    this.retryAfterMs = retryAfterMs;
  }

  /** @param isAway the API and not the batch is at fault. */
  toAppError(isAway: boolean): AppError {
    return new AppError('embedding_failed', this.message, { details: isAway ? { isAway } : {} });
  }
}
