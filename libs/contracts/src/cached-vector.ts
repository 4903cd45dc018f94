import { z } from 'zod';
import { tierNameSchema } from './tiers.ts';
import { decodeVectorFrame, encodeVectorFrame } from './vector-frame.ts';

const headerSchema = z.strictObject({
  tier: tierNameSchema,
  variant: z.string(),
  device: z.string(),
  reason: z.string().nullable(),
  madeAt: z.number(),
  dimensions: z.int().positive(),
});

/**
 * The embedding of one text as gateways keep and share it. `tier`, `variant` and `device` made it; `reason` is why it
 * was not the first declared tier. `madeAt` is the maker's wall clock, in milliseconds since the epoch.
 */
export interface CachedVector extends Omit<z.infer<typeof headerSchema>, 'dimensions'> {
  /** One float32 a dimension. Many readers share it: never write into it. */
  readonly vector: Float32Array;
}

/** Wire form: {@link encodeVectorFrame}. */
export const encodeCachedVector = ({ vector, ...header }: CachedVector): Buffer =>
  encodeVectorFrame({ ...header, dimensions: vector.length }, vector);

/**
 * The vector lies in memory of its own, which holds nothing else.
 * @throws Error when the bytes are not a whole entry: another format, cut off, or with numbers that are none.
 */
export function decodeCachedVector(frame: Buffer): CachedVector {
  const { head, values: vector } = decodeVectorFrame(frame);
  const { dimensions, ...header } = headerSchema.parse(head);
  const bytes = dimensions * Float32Array.BYTES_PER_ELEMENT;
  if (vector.buffer.byteLength !== bytes)
    throw new Error(`${dimensions} dimensions do not lie in ${vector.buffer.byteLength} bytes`);
  if (!vector.every(Number.isFinite)) throw new Error('the vector has values that are not finite');
  return { ...header, vector };
}
