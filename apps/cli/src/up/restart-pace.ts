const DELAYS_MS = [0, 1_000, 5_000, 15_000];
/** What ran this long was well; its next end starts the delays anew. */
const WELL_AFTER_MS = 60_000;

/** How long something that ends unasked waits before it is started again: not at all at first, then longer each time. */
export class RestartPace {
  #restarts = 0;

  /** @param ranMs how long it ran this time; 0 when its start failed. */
  nextDelayMs(ranMs: number): number {
    if (ranMs > WELL_AFTER_MS) this.#restarts = 0;
    const delay = DELAYS_MS[Math.min(this.#restarts, DELAYS_MS.length - 1)] ?? 0;
    this.#restarts += 1;
    return delay;
  }
}

export const restartNotice = (name: string, how: string, delayMs: number): string =>
  `${name} ended (${how}); starting it again${delayMs > 0 ? ` in ${delayMs / 1_000} s` : ''}`;
