import { createHash } from 'node:crypto';
import { z } from 'zod';

/**
 * What two vectors must share to be comparable. Precision and device are not part of it: they make a variant.
 */
export const embeddingSpaceSchema = z.strictObject({
  model: z.string().min(1),
  revision: z.string().min(1),
  dimensions: z.int().positive(),
  pooling: z.enum(['mean', 'cls', 'last']),
  normalize: z.boolean(),
  prompts: z.strictObject({ query: z.string(), document: z.string() }),
});
export type EmbeddingSpace = z.infer<typeof embeddingSpaceSchema>;

export type InputType = 'query' | 'document';

/** The part of a space's id that tells it from all others, without what keys and queue names can't hold. */
export const spaceTag = (id: string): string => id.slice(id.lastIndexOf('@') + 1);

/** A short stable name of a space, as collections are stamped with it: `model@1a2b3c4d`. */
export function spaceId(space: EmbeddingSpace): string {
  const canonical = JSON.stringify([
    space.model,
    space.revision,
    space.dimensions,
    space.pooling,
    space.normalize,
    space.prompts.query,
    space.prompts.document,
  ]);
  return `${space.model}@${createHash('sha256').update(canonical).digest('hex').slice(0, 8)}`;
}
