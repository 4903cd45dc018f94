/** How far one window moves the mean: half of what is known is from the last two. */
const WEIGHT = 0.35;
/** What was measured longer ago says nothing of an API that others use too. */
const FORGET_MS = 60_000;
/** One window in a few takes longer than the mean. */
const MARGIN = 1.25;

/** What one window costs, from those that were asked lately. */
export class WindowCost {
  #meanMs: number | undefined;
  #at = -Infinity;

  /** Milliseconds, with a margin; undefined where nothing is known. */
  get predictedMs(): number | undefined {
    const isKnown = performance.now() - this.#at < FORGET_MS;
    return isKnown && this.#meanMs !== undefined ? this.#meanMs * MARGIN : undefined;
  }

  observe(ms: number): void {
    this.#meanMs = this.#meanMs === undefined ? ms : this.#meanMs + WEIGHT * (ms - this.#meanMs);
    this.#at = performance.now();
  }

  /** A window took more than this: nobody waited for its end. */
  observeAtLeast(ms: number): void {
    this.observe(Math.max(ms, this.#meanMs ?? 0));
  }
}
