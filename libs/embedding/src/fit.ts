import type { EmbeddingBackend } from './backend.ts';

/** Milliseconds a batch takes: `a + b * paddedTokens`. */
export interface Fit {
  a: number;
  b: number;
}

export interface Sample {
  paddedTokens: number;
  ms: number;
}

/** A batch costs what it is padded to, not what is in it. */
export const paddedTokens = (batch: readonly { length: number }[]): number =>
  batch.length * batch.reduce((longest, ids) => Math.max(longest, ids.length), 0);

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

export const predictMs = (fit: Fit, tokens: number): number => fit.a + fit.b * tokens;

/** [texts, tokens] of the warm-up batches: traffic of one size would identify neither coefficient. */
const WARM_UP_SIZES: readonly (readonly [number, number])[] = [
  [1, 8],
  [1, 32],
  [1, 128],
  [4, 64],
  [8, 64],
  [8, 128],
];
const WARM_UP_ROUNDS = 3;

/**
 * Runs batches of several sizes and fits the duration; the fastest round of each size counts, as others only add noise.
 * @param maxTokens the model's limit for one text.
 */
export async function warmUp(backend: EmbeddingBackend, maxTokens: number): Promise<Fit> {
  const samples: Sample[] = [];
  for (const [texts, tokens] of WARM_UP_SIZES) {
    const batch = Array.from({ length: texts }, () => new Uint32Array(Math.min(tokens, maxTokens)).fill(100));
    let best = Infinity;
    for (let round = 0; round < WARM_UP_ROUNDS; round++) {
      const start = performance.now();
      await backend.embed(batch);
      best = Math.min(best, performance.now() - start);
    }
    samples.push({ paddedTokens: paddedTokens(batch), ms: best });
  }
  return fitDuration(samples);
}
