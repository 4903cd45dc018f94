/** What chance decides in a simulated world, the same for the same seed: xorshift128 of Marsaglia, "Xorshift RNGs", 2003. */
export class Random {
  readonly #state: Uint32Array;

  constructor(seed: number) {
    this.#state = Uint32Array.of(seed, 0x2545f491, seed ^ 0x5deece66, 0x9e3779b9);
    // Seeds that are alike begin alike.
    for (let warm = 0; warm < 32; warm++) this.#next();
  }

  #next(): number {
    const state = this.#state;
    const [x = 0, y = 0, z = 0, w = 0] = state;
    const t = x ^ (x << 11);
    state.set([y, z, w, w ^ (w >>> 19) ^ t ^ (t >>> 8)]);
    return state[3] ?? 0;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return this.#next() / 2 ** 32;
  }

  exponential(mean: number): number {
    return -Math.log(1 - this.uniform()) * mean;
  }

  /** Mean 0, deviation 1: the Box-Muller transform. */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  logNormal(median: number, sigma: number): number {
    return median * Math.exp(sigma * this.normal());
  }

  /** A stream of its own, so that what one part draws does not change what another one gets. */
  fork(): Random {
    return new Random(this.#next());
  }
}
