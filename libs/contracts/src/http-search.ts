import { z } from 'zod';

export const SEARCH_MODES = ['hybrid', 'dense', 'lexical'] as const;
export const DEGRADATIONS = ['allow', 'same_space', 'forbid'] as const;
export const degradationSchema = z.enum(DEGRADATIONS);
export type Degradation = z.infer<typeof degradationSchema>;

export const DEFAULT_COLLECTION = 'default';
/** Collection names become folder, table and key names on every store. */
export const collectionNameSchema = z
  .string()
  .regex(
    /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$/,
    'use 1 to 64 letters, digits, "_" or "-", starting with a letter or digit',
  );
export const repoNameSchema = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\p{Cc}]+$/u, 'control characters are not allowed');

const MAX_QUERY_CHARACTERS = 16_384;
export const MAX_DEADLINE_MS = 600_000;

export const searchFilterSchema = z.strictObject({
  repo: z.array(repoNameSchema).min(1).max(100).optional(),
  language: z.array(z.string().min(1).max(64)).min(1).max(50).optional(),
  /** A glob over the path inside the repo: `*` within a folder, `**` across folders, `?` one character. */
  path: z.string().min(1).max(1_024).optional(),
});
export type SearchFilter = z.infer<typeof searchFilterSchema>;

export const searchRequestSchema = z.strictObject({
  query: z
    .string()
    .max(MAX_QUERY_CHARACTERS)
    .refine((query) => query.trim().length > 0, 'must not be empty'),
  collection: collectionNameSchema.default(DEFAULT_COLLECTION),
  limit: z.int().min(1).max(100).default(10),
  mode: z.enum(SEARCH_MODES).default('hybrid'),
  filter: searchFilterSchema.default({}),
  rerank: z.boolean().default(false).meta({
    description:
      'Lets the gateway’s reranker order the results, within a deadline of its own and this one. Where it cannot, they keep their order, and warnings say rerank_skipped or rerank_shortened.',
  }),
  deadlineMs: z.int().min(1).max(MAX_DEADLINE_MS).optional(),
  degradation: degradationSchema.optional(),
});
export type SearchRequest = z.infer<typeof searchRequestSchema>;

export const searchResultSchema = z.strictObject({
  id: z.string(),
  score: z.number(),
  repo: z.string(),
  path: z.string(),
  language: z.string(),
  symbol: z.string(),
  startLine: z.int(),
  endLine: z.int(),
  text: z.string(),
});
export type SearchResult = z.infer<typeof searchResultSchema>;

/** Where the query's vector came from, and what it cost. */
export const embeddingReportSchema = z.strictObject({
  model: z.string(),
  space: z.string(),
  variant: z.string(),
  tier: z.string(),
  device: z.string(),
  degraded: z.boolean(),
  reason: z.string().nullable(),
  cached: z.boolean(),
  predictedMs: z.number().nullable(),
  tookMs: z.number(),
});
export type EmbeddingReport = z.infer<typeof embeddingReportSchema>;

export const warningSchema = z.strictObject({ code: z.string(), message: z.string() });
export type Warning = z.infer<typeof warningSchema>;

export const searchTimingsSchema = z.strictObject({
  admission: z.number(),
  queue: z.number(),
  tokenize: z.number(),
  inference: z.number(),
  search: z.number(),
  rerank: z.number(),
  total: z.number(),
});
export type SearchTimings = z.infer<typeof searchTimingsSchema>;

export const searchResponseSchema = z.strictObject({
  results: z.array(searchResultSchema),
  embedding: embeddingReportSchema,
  warnings: z.array(warningSchema),
  timingsMs: searchTimingsSchema,
});
export type SearchResponse = z.infer<typeof searchResponseSchema>;
