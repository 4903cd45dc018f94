import { cosinesOf, measureAlignment } from '@embergate/embedding/alignment.ts';
import type { EmbeddedTexts } from './embed-texts.ts';

/** How near a model's vectors are to others of the same texts. */
export interface Agreement {
  /** Over the texts. */
  cosine: { least: number; median: number };
  /** Mean share of a text's nearest texts that both vectors find; null with fewer than eleven texts. */
  overlap: number | null;
}

/** @param other texts x dimensions, row by row. */
export function agreementOf({ ids, vectors }: EmbeddedTexts, other: Float32Array): Agreement {
  const dimensions = vectors.length / ids.length;
  const canaries = ids.map((one) => ({ collection: '', text: '', ids: one }));
  const reference = { dimensions, canaries, sample: other };
  const { cosine, overlap } = measureAlignment(reference, vectors);
  return { cosine: { least: Math.min(...cosinesOf(reference, vectors)), median: cosine }, overlap };
}
