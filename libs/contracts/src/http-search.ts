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

/** How a list is made for readers out of the chunks found. Off gives the chunks as they are stored. */
const arrangeSchema = z.strictObject({
  /** Chunks of the same text, in copies, branches and other repos, are one result that says where the others are. */
  fold: z.boolean().default(true),
  /** Further results of a file come later, so that one file does not crowd out the others. */
  diversify: z.boolean().default(true),
  /** Neighbouring chunks of a file among the results become one. */
  merge: z.boolean().default(true),
});
export type Arrange = z.infer<typeof arrangeSchema>;

/** Shares of the two lists in a hybrid search; only their ratio counts. */
export const fusionWeightsSchema = z
  .strictObject({ dense: z.number().min(0).max(1_000), lexical: z.number().min(0).max(1_000) })
  .refine(({ dense, lexical }) => dense + lexical > 0, 'one of them must be above 0');
export type FusionWeights = z.infer<typeof fusionWeightsSchema>;

export const searchRequestSchema = z.strictObject({
  query: z
    .string()
    .max(MAX_QUERY_CHARACTERS)
    .refine((query) => query.trim().length > 0, 'must not be empty'),
  collection: collectionNameSchema.default(DEFAULT_COLLECTION),
  limit: z.int().min(1).max(100).default(10),
  mode: z.enum(SEARCH_MODES).default('hybrid'),
  filter: searchFilterSchema.default({}),
  rerank: z.boolean().default(false),
  arrange: arrangeSchema.prefault({}),
  /** Of a hybrid search; what is best on average is the default. */
  weights: fusionWeightsSchema.optional(),
  deadlineMs: z.int().min(1).max(MAX_DEADLINE_MS).optional(),
  degradation: degradationSchema.optional(),
});
export type SearchRequest = z.infer<typeof searchRequestSchema>;
/** What a caller writes: everything with a default may be left out. */
export type SearchAsk = z.input<typeof searchRequestSchema>;

/** Lines of a file. */
export const chunkPlaceSchema = z.strictObject({
  repo: z.string(),
  path: z.string(),
  startLine: z.int(),
  endLine: z.int(),
});
export type ChunkPlace = z.infer<typeof chunkPlaceSchema>;

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
  /** Where else the same text stands. */
  duplicates: z.array(chunkPlaceSchema),
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
