import { z } from 'zod';
import { repoNameSchema } from './http-search.ts';

/*
 * A collection of a Qdrant that another program filled, made searchable: its vectors are copied, and never embedded again.
 */

/**
 * The least cosine of a foreign vector and the model's own of the same text. Vectors of different models are as far from each other as
 * random ones; those of one model stay near each other whatever head or prompt the other program put before the text.
 */
export const LEAST_AGREEMENT = 0.3;

/** The way to a payload field: `path`, or `metadata.path` for one inside of another. */
const fieldSchema = z.string().min(1).max(512);

/** Which payload field says what. What is left out is not known of any point. */
export const foreignFieldsSchema = z.strictObject({
  text: fieldSchema,
  path: fieldSchema.optional(),
  repo: fieldSchema.optional(),
  language: fieldSchema.optional(),
  symbol: fieldSchema.optional(),
  startLine: fieldSchema.optional(),
  endLine: fieldSchema.optional(),
});
export type ForeignFields = z.infer<typeof foreignFieldsSchema>;

const wishedFieldSchema = z.string().max(512).optional();
const wishedFields = {
  text: wishedFieldSchema,
  path: wishedFieldSchema,
  repo: wishedFieldSchema,
  language: wishedFieldSchema,
  symbol: wishedFieldSchema,
  startLine: wishedFieldSchema,
  endLine: wishedFieldSchema,
} satisfies Record<keyof ForeignFields, unknown>;

const remoteNameSchema = z.string().min(1).max(255);

export const adoptionRequestSchema = z.strictObject({
  /** The collection in Qdrant. */
  from: remoteNameSchema,
  /** The dense vector, where there are several; empty for the one without a name. */
  vector: z.string().max(255).optional(),
  /** What is left out is guessed from the names of the fields; an empty one is not read at all. */
  fields: z.strictObject(wishedFields).default({}),
  /** The repo of points that name none. Default: the name of the collection in Qdrant. */
  repo: repoNameSchema.optional(),
  /** Whether full-text search finds the chunks too. */
  lexical: z.boolean().default(true),
  /** The space that the vectors are of, such as `model@1a2b3c4d`. Default: the gateway's own. */
  space: z.string().min(1).max(255).optional(),
});
export type AdoptionRequest = z.infer<typeof adoptionRequestSchema>;

/** The source of an index job that adopts; made by the gateway from a request that it has checked. */
export const qdrantSourceSchema = z.strictObject({
  type: z.literal('qdrant'),
  collection: remoteNameSchema,
  vector: z.string().max(255),
  fields: foreignFieldsSchema,
  /** The repo of points that name none. A job takes the points of one repo. */
  defaultRepo: repoNameSchema,
  lexical: z.boolean(),
  space: z.string().min(1).max(255),
});
export type QdrantSource = z.infer<typeof qdrantSourceSchema>;

export const adoptionPreviewSchema = z.strictObject({
  from: z.string(),
  collection: z.string(),
  points: z.int().nonnegative(),
  vector: z.strictObject({ name: z.string(), dimensions: z.int(), distance: z.string() }).nullable(),
  space: z.string(),
  dimensions: z.int(),
  /** What each part of a chunk is read from, guesses included. */
  fields: foreignFieldsSchema.partial(),
  /** What the sampled payloads hold. */
  payloadFields: z.array(z.strictObject({ field: z.string(), share: z.number(), example: z.string() })),
  /** Points by repo. Each becomes an index job. */
  repos: z.array(z.strictObject({ name: z.string(), points: z.int() })),
  /** Lengths of the sampled vectors. */
  lengths: z.strictObject({ sampled: z.int(), min: z.number(), max: z.number() }).nullable(),
  /** Cosines of sampled vectors with those that this deployment makes of the same texts; null where no tier made them in time. */
  agreement: z.strictObject({ texts: z.int(), min: z.number(), mean: z.number() }).nullable(),
  /** Some chunks as a search would show them, their texts cut. */
  sample: z.array(
    z.strictObject({
      repo: z.string(),
      path: z.string(),
      language: z.string(),
      symbol: z.string(),
      startLine: z.int(),
      endLine: z.int(),
      text: z.string(),
    }),
  ),
  /** Why it cannot be adopted like this. */
  problems: z.array(z.strictObject({ code: z.string(), message: z.string() })),
});
export type AdoptionPreview = z.infer<typeof adoptionPreviewSchema>;
