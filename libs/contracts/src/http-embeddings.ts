import { z } from 'zod';
import { MAX_DEADLINE_MS, warningSchema } from './http-search.ts';

/** OpenAI's own limit for one request. */
const MAX_EMBEDDING_INPUTS = 2_048;
const MAX_INPUT_CHARACTERS = 1_000_000;

const inputTextSchema = z.string().min(1).max(MAX_INPUT_CHARACTERS);

export const embeddingsRequestSchema = z.strictObject({
  input: z.union([inputTextSchema, z.array(inputTextSchema).min(1).max(MAX_EMBEDDING_INPUTS)]),
  model: z.string().min(1).max(200),
  encoding_format: z.enum(['float', 'base64']).default('float'),
  dimensions: z.int().positive().optional(),
  /** Accepted as OpenAI's clients send it; not used. */
  user: z.string().max(512).optional(),
  input_type: z.enum(['query', 'document']).optional(),
  deadlineMs: z.int().min(1).max(MAX_DEADLINE_MS).optional(),
});
export type EmbeddingsRequest = z.infer<typeof embeddingsRequestSchema>;

export const embeddingsResponseSchema = z.strictObject({
  object: z.literal('list'),
  data: z.array(
    z.strictObject({
      object: z.literal('embedding'),
      index: z.int().nonnegative(),
      embedding: z.union([z.array(z.number()), z.string()]),
    }),
  ),
  model: z.string(),
  usage: z.strictObject({ prompt_tokens: z.int(), total_tokens: z.int() }),
  /** Not OpenAI's: texts that were cut, answers of a slower tier. */
  warnings: z.array(warningSchema),
});
export type EmbeddingsResponse = z.infer<typeof embeddingsResponseSchema>;

export const modelsResponseSchema = z.strictObject({
  object: z.literal('list'),
  data: z.array(
    z.strictObject({
      id: z.string(),
      object: z.literal('model'),
      created: z.int(),
      owned_by: z.string(),
      space: z.string(),
      dimensions: z.int(),
      maxTokens: z.int(),
    }),
  ),
});
export type ModelsResponse = z.infer<typeof modelsResponseSchema>;
