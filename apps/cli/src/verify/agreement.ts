import { measureAlignment } from '@embergate/embedding/alignment.ts';
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
  const all = measureAlignment({ dimensions, canaries, sample: other }, vectors);
  const cosines = ids.map((_, at) => {
    const row = (rows: Float32Array) => rows.subarray(at * dimensions, (at + 1) * dimensions);
    return measureAlignment({ dimensions, canaries: canaries.slice(0, 1), sample: row(other) }, row(vectors))
      .cosine;
  });
  return { cosine: { least: Math.min(...cosines), median: all.cosine }, overlap: all.overlap };
}
