import { z } from 'zod';
import { decodeTokenIds, encodeTokenIds } from './embed-job.ts';
import { decodeVectorFrame, encodeVectorFrame } from './vector-frame.ts';

/**
 * How well a variant's vectors agree with those that a collection holds of the same texts.
 * `cosine`: the median over the canary texts. `overlap`: the mean share of the ten nearest neighbours that both vectors of a
 * canary text find among a sample of the collection; null where the sample is too small to have neighbours.
 */
export const alignmentSchema = z.strictObject({
  cosine: z.number(),
  overlap: z.number().nullable(),
});
export type Alignment = z.infer<typeof alignmentSchema>;

/** Texts whose vectors a space's collections hold, and a sample of these collections around them. */
export interface AlignmentReference {
  dimensions: number;
  canaries: readonly CanaryText[];
  /** rows x dimensions, row by row: the canaries' own vectors first, in their order, then the rest of the sample. */
  sample: Float32Array;
}

export interface PublishedReference {
  /** Another one for other contents. */
  version: string;
  reference: AlignmentReference;
}

/** The version where the collections hold nothing to be compared with. That nobody has said anything is something else. */
export const NO_REFERENCE = 'none';

export interface CanaryText {
  /** That holds its vector. */
  collection: string;
  /** As the model reads it, with its prompt. */
  text: string;
  /** Token ids of that, special tokens included. */
  ids: Uint32Array;
}

const headSchema = z.strictObject({
  dimensions: z.int().positive(),
  canaries: z.array(z.strictObject({ collection: z.string(), text: z.string(), ids: z.string() })).min(1),
});

/** Wire form: {@link encodeVectorFrame}. */
export function encodeAlignmentReference({ dimensions, canaries, sample }: AlignmentReference): Buffer {
  const head = {
    dimensions,
    canaries: canaries.map(({ ids, ...canary }) => ({ ...canary, ids: encodeTokenIds(ids) })),
  };
  return encodeVectorFrame(head, sample);
}

/** @throws Error where the bytes are not a whole reference: another format, cut off, or with numbers that are none. */
export function decodeAlignmentReference(frame: Buffer): AlignmentReference {
  const { head, values: sample } = decodeVectorFrame(frame);
  const { dimensions, canaries } = headSchema.parse(head);
  if (sample.length % dimensions !== 0 || sample.length < canaries.length * dimensions)
    throw new Error(`${sample.length} values are no rows of ${dimensions} for ${canaries.length} texts`);
  if (!sample.every(Number.isFinite)) throw new Error('the sample has values that are not finite');
  return {
    dimensions,
    canaries: canaries.map(({ ids, ...canary }) => ({ ...canary, ids: decodeTokenIds(ids) })),
    sample,
  };
}
