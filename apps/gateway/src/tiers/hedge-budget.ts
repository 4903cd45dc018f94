/** What a hedge waits for beyond the prediction. */
const HEDGE_FACTOR = 1.5;
const HEDGE_MS = 20;
/** Queries that the share is taken of: old ones weigh less. */
const MEMORY = 1_000;

/**
 * Hedging: a share of the queries may be sent a second time before the first attempt is overdue. It trades computing
 * time for the tail of the latency, so it has a budget and is off by default.
 */
export class HedgeBudget {
  readonly #percent: number;
  #queries = 0;
  #hedges = 0;

  /** @param percent of the queries that may be hedged; 0 switches it off. */
  constructor(percent: number) {
    this.#percent = percent;
  }

  /** @returns the patience for one query: shorter where the budget allows a hedge. Milliseconds. */
  shorten(patienceMs: number, predictedMs: number): number {
    if (this.#percent === 0) return patienceMs;
    if (++this.#queries > MEMORY) {
      this.#queries /= 2;
      this.#hedges /= 2;
    }
    if (this.#hedges + 1 > (this.#queries * this.#percent) / 100) return patienceMs;
    return Math.min(patienceMs, predictedMs * HEDGE_FACTOR + HEDGE_MS);
  }

  /** A query is sent a second time though its first attempt is not overdue. */
  spend(): void {
    this.#hedges += 1;
  }
}
