import { fitDuration, type Fit, type Sample } from '@embergate/routing/fit.ts';
import type { EmbeddingBackend } from './backend.ts';

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
 * A batch that has taken this long, in milliseconds, is run once, and larger ones not at all: a large model is slow enough. But
 * the first batch may only have been cold, and one size alone identifies neither coefficient.
 */
const LONG_MS = 1_000;
const LEAST_SIZES = 2;

/**
 * Runs batches of several sizes and fits the duration; the fastest round of each size counts, as others only add noise.
 * @param maxTokens the model's limit for one text.
 */
export async function warmUp(backend: EmbeddingBackend, maxTokens: number): Promise<Fit> {
  const samples: Sample[] = [];
  for (const [texts, tokens] of WARM_UP_SIZES) {
    const batch = Array.from({ length: texts }, () => new Uint32Array(Math.min(tokens, maxTokens)).fill(100));
    const leastRounds = samples.length === 0 ? 2 : 1;
    let best = Infinity;
    for (let round = 0; round < WARM_UP_ROUNDS && (round < leastRounds || best < LONG_MS); round++) {
      const start = performance.now();
      await backend.embed(batch);
      best = Math.min(best, performance.now() - start);
    }
    samples.push({ paddedTokens: backend.computedTokens(batch), ms: best });
    if (best >= LONG_MS && samples.length >= LEAST_SIZES) break;
  }
  return fitDuration(samples);
}
