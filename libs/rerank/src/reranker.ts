/**
 * Why a list was not reranked:
 * - `no_time`: by what it usually costs it would not be done in time, so it was not begun.
 * - `late`: it was begun and not done in time.
 * - `away`: what computes it is loading, restarting or cannot be reached.
 * - `failed`: it gave no usable answer.
 */
export type SkipReason = 'no_time' | 'late' | 'away' | 'failed';

/** The list keeps its order. The message is a sentence for people, and quotes neither texts nor keys. */
export class RerankSkipped extends Error {
  readonly reason: SkipReason;

  constructor(reason: SkipReason, message: string) {
    super(message);
    this.name = 'RerankSkipped';
    this.reason = reason;
  }
}

export interface RankedPassage {
  /** Which of the passages, from 0. */
  at: number;
  /** 0 to 1; compares within one answer only. */
  score: number;
}

/**
 * The best first, no passage twice. Passages that are not in it come after those that are, in the order that they had: where time is short,
 * fewer of them are looked at, always from the first one on.
 */
export type Ranking = RankedPassage[];

export interface RerankOptions {
  /** In the time of performance.now(). What is not here by then is not waited for. */
  until: number;
  /** Nobody waits any more. */
  signal?: AbortSignal | undefined;
}

/** Orders passages by how well they answer a query. Several lists may be under way at a time. */
export interface Reranker {
  /** For people. */
  readonly name: string;
  /** More passages than this are not looked at. */
  readonly maxPassages: number;
  /**
   * @param passages best guess first. They are texts of strangers.
   * @throws RerankSkipped, soon after `until` at the latest.
   */
  rerank: (query: string, passages: readonly string[], options: RerankOptions) => Promise<Ranking>;
  close: () => Promise<void>;
}
