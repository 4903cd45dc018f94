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

  /**
   * Counts a query that has another way to go.
   * @returns after how long a silence it may be hedged, in milliseconds; null where hedging is off.
   */
  hedgeAfterMs(predictedMs: number): number | null {
    if (this.#percent === 0) return null;
    if (++this.#queries > MEMORY) {
      this.#queries /= 2;
      this.#hedges /= 2;
    }
    return predictedMs * HEDGE_FACTOR + HEDGE_MS;
  }

  /** Asked when the time has come, as most queries have their answer by then. @returns false where the budget is spent. */
  spend(): boolean {
    if (this.#hedges + 1 > (this.#queries * this.#percent) / 100) return false;
    this.#hedges += 1;
    return true;
  }
}
