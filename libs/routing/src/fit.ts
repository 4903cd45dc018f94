/** Milliseconds a batch takes: `a + b * paddedTokens`. */
export interface Fit {
  a: number;
  b: number;
}

export interface Sample {
  paddedTokens: number;
  ms: number;
}

export const predictMs = (fit: Fit, paddedTokens: number): number => fit.a + fit.b * paddedTokens;

/** The largest batch that takes at most `ms`, in padded tokens; Infinity where tokens cost nothing. */
export const tokensWithin = (fit: Fit, ms: number): number =>
  fit.b > 0 ? Math.max(0, Math.floor((ms - fit.a) / fit.b)) : Infinity;

/**
 * Least squares over samples of several sizes; neither coefficient is ever negative.
 * Samples of one size identify only one of the two: then `a` is 0.
 */
export function fitDuration(samples: readonly Sample[]): Fit {
  const n = samples.length;
  const meanX = samples.reduce((sum, s) => sum + s.paddedTokens, 0) / n;
  const meanY = samples.reduce((sum, s) => sum + s.ms, 0) / n;
  const varX = samples.reduce((sum, s) => sum + (s.paddedTokens - meanX) ** 2, 0);
  const covXY = samples.reduce((sum, s) => sum + (s.paddedTokens - meanX) * (s.ms - meanY), 0);
  const slope = varX > 0 ? covXY / varX : meanY / meanX;
  const intercept = meanY - slope * meanX;
  if (slope < 0) return { a: meanY, b: 0 };
  return intercept < 0 ? { a: 0, b: meanY / meanX } : { a: intercept, b: slope };
}

/** How far one batch moves the level, in the logarithm: half of what is known is from the last two batches. */
const LEVEL_WEIGHT = 0.35;
/** A batch says at most this much about the level: one hiccup is not a new speed, three in a row are. */
const MAX_STEP = 4;

/**
 * A fit that follows the machine. The shape (`a` to `b`) comes from warm-up batches of several sizes, as traffic of one
 * size identifies neither; traffic only moves the level, a geometric moving mean of measured over predicted duration.
 */
export class LiveFit {
  readonly #seed: Fit;
  #level = 1;

  constructor(seed: Fit) {
    this.#seed = seed;
  }

  get current(): Fit {
    return { a: this.#seed.a * this.#level, b: this.#seed.b * this.#level };
  }

  /** How much slower than at the warm-up batches run now; 1 is as fast. */
  get level(): number {
    return this.#level;
  }

  /** @param sample one batch that ran. */
  observe({ paddedTokens, ms }: Sample): void {
    const expected = predictMs(this.current, paddedTokens);
    if (!(expected > 0) || !(ms > 0)) return;
    this.#level *= Math.min(MAX_STEP, Math.max(1 / MAX_STEP, ms / expected)) ** LEVEL_WEIGHT;
  }
}
