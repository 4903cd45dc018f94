/**
 * What a failed request says of the API:
 * - `unclear`: it may be the request or the API.
 * - `away`: it cannot be reached, or has no time now.
 * - `misconfigured`: it will not answer before somebody changes something.
 */
export type Verdict = 'unclear' | 'away' | 'misconfigured';

/** A request that brought no answer. Its message holds neither key nor texts. */
export class ChatFailure extends Error {
  readonly verdict: Verdict;
  /** How long the API asks not to be asked, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(verdict: Verdict, message: string, retryAfterMs?: number) {
    super(message);
    this.name = 'ChatFailure';
    this.verdict = verdict;
    this.retryAfterMs = retryAfterMs;
  }
}
