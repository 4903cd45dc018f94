const WINDOW_MS = 5_000;
const FAILURE_SHARE = 0.5;

/** One gateway's own opinion of a tier, as opossum forms it: half of the last five seconds' calls failed. */
export class LocalDetector {
  #calls: { at: number; failed: boolean }[] = [];
  readonly #volume: number;

  /** @param volume with fewer calls than this there is no opinion. */
  constructor(volume: number) {
    this.#volume = volume;
  }

  /** @returns whether the tier counts as failed now. */
  record(at: number, failed: boolean): boolean {
    this.#calls = this.#calls.filter((call) => call.at > at - WINDOW_MS);
    this.#calls.push({ at, failed });
    const failures = this.#calls.filter((call) => call.failed).length;
    return failed && this.#calls.length >= this.#volume && failures >= this.#calls.length * FAILURE_SHARE;
  }

  forget(): void {
    this.#calls = [];
  }
}
