import { AppError } from '@embergate/contracts/errors.ts';
import { fitDuration, type Fit, type Sample } from '@embergate/routing/fit.ts';
import { hasEndedChild, type EmbeddingBackend } from './backend.ts';
import { madeUp } from './made-up-text.ts';

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

/** Longer than it takes to read a large model from a slow disk while its first batch runs. */
const LIMIT_MS = 120_000;

/**
 * Runs batches of several sizes and fits the duration; the fastest round of each size counts, as others only add noise. The
 * worker is ready only after this.
 *
 * @param maxTokens the model's limit for one text.
 * @param limitMs for all of it, in milliseconds.
 * @throws AppError `model_too_slow` where it takes longer; what the backend throws.
 */
export async function warmUp(
  backend: EmbeddingBackend,
  maxTokens: number,
  { limitMs = LIMIT_MS }: { limitMs?: number } = {},
): Promise<Fit> {
  const endsAt = performance.now() + limitMs;
  const samples: Sample[] = [];
  for (const [texts, tokens] of WARM_UP_SIZES) {
    const made = Array.from({ length: texts }, () => madeUp(Math.min(tokens, maxTokens)));
    const batch = made.map(({ ids }) => ids);
    const leastRounds = samples.length === 0 ? 2 : 1;
    let best = Infinity;
    for (let round = 0; round < WARM_UP_ROUNDS && (round < leastRounds || best < LONG_MS); round++) {
      best = Math.min(best, await timed(backend, made, { endsAt, limitMs }));
    }
    samples.push({ paddedTokens: backend.computedTokens(batch), ms: best });
    if (best >= LONG_MS && samples.length >= LEAST_SIZES) break;
  }
  return fitDuration(samples);
}

/** @returns milliseconds. A batch that is not done at the end counts as a hang: whatever computes it is ended. */
async function timed(
  backend: EmbeddingBackend,
  made: readonly ReturnType<typeof madeUp>[],
  { endsAt, limitMs }: { endsAt: number; limitMs: number },
): Promise<number> {
  const startedAt = performance.now();
  try {
    if (startedAt >= endsAt) throw tooSlow(limitMs);
    const batch = made.map(({ ids }) => ids);
    await backend.embed(batch, { texts: made.map(({ text }) => text), hangMs: endsAt - startedAt });
    return performance.now() - startedAt;
  } catch (error) {
    throw hasEndedChild(error) && performance.now() >= endsAt ? tooSlow(limitMs, error) : error;
  }
}

const tooSlow = (limitMs: number, cause?: unknown): AppError =>
  new AppError(
    'model_too_slow',
    `The model did not run its first batches within ${limitMs / 1_000} s: this device is too slow for it, or busy.`,
    { cause },
  );
