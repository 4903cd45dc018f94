import { AppError } from '@embergate/contracts/errors.ts';

/** A mean and the bounds of its 95% confidence interval. */
export interface MeanInterval {
  mean: number;
  low: number;
  high: number;
}

export interface BootstrapOptions {
  seed: number;
  resamples?: number;
}

const DEFAULT_RESAMPLES = 10_000;
const TAIL = 0.025;

/**
 * Percentile bootstrap of a mean (Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13): the queries
 * are drawn with replacement again and again, and the interval holds the middle 95% of the means.
 *
 * Paired by construction: for two systems asked the same queries pass the differences, one a query. The draw depends on
 * the seed and the number of values only, so that all intervals of a report are of the same resamples.
 * @throws AppError `invalid_request` for no values at all.
 */
export function bootstrapMean(
  values: readonly number[],
  { seed, resamples = DEFAULT_RESAMPLES }: BootstrapOptions,
): MeanInterval {
  const count = values.length;
  if (count === 0) throw new AppError('invalid_request', 'An interval needs at least one value.');
  const random = randomOf(seed);
  const data = Float64Array.from(values);
  const means = new Float64Array(resamples);
  for (let sample = 0; sample < resamples; sample++) {
    let sum = 0;
    for (let draw = 0; draw < count; draw++) sum += data[Math.floor(random() * count)] ?? 0;
    means[sample] = sum / count;
  }
  means.sort();
  const at = (share: number): number => means[Math.round(share * (resamples - 1))] ?? Number.NaN;
  return { mean: data.reduce((sum, value) => sum + value, 0) / count, low: at(TAIL), high: at(1 - TAIL) };
}

/** Numbers in [0, 1) that are the same for a seed on every machine: Marsaglia, "Xorshift RNGs", 2003 (13, 17, 5). */
function randomOf(seed: number): () => number {
  // Zero is the one state that xorshift never leaves; the multiplication sets near seeds apart.
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
