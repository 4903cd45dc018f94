import { z } from 'zod';
import { qdrantSourceSchema } from './adoption.ts';
import { tierNameSchema } from './tiers.ts';
import { collectionNameSchema, DEFAULT_COLLECTION, repoNameSchema } from './http-search.ts';

const directorySourceSchema = z.strictObject({
  type: z.literal('directory'),
  path: z.string().min(1).max(4_096),
});
const gitSourceSchema = z.strictObject({
  type: z.literal('git'),
  url: z.string().min(1).max(4_096),
  ref: z.string().min(1).max(255).optional(),
});
/** Chunks with vectors that were made elsewhere: a folder as chunk-export.ts describes it. */
const vectorsSourceSchema = z.strictObject({
  type: z.literal('vectors'),
  path: z.string().min(1).max(4_096),
  /** The space that the vectors are of: `model@1a2b3c4d`. */
  space: z.string().min(1).max(255),
});
/**
 * What the collection itself holds: all its rows move to the space of the first model, and get a second vector of the
 * other one where there are two. Searches see the old vectors until all new ones are there.
 */
const collectionSourceSchema = z.strictObject({
  type: z.literal('collection'),
  models: z.array(z.string().min(1).max(255)).min(1).max(2),
});
const REQUESTED_SOURCES = [
  directorySourceSchema,
  gitSourceSchema,
  vectorsSourceSchema,
  collectionSourceSchema,
] as const;
/** What a request may name. */
const requestedSourceSchema = z.discriminatedUnion('type', [...REQUESTED_SOURCES]);
export type RequestedSource = z.infer<typeof requestedSourceSchema>;
/** What a job may have: an adoption too, which has a route and a scope of its own. */
export const indexSourceSchema = z.discriminatedUnion('type', [...REQUESTED_SOURCES, qdrantSourceSchema]);
export type IndexSource = z.infer<typeof indexSourceSchema>;

/** What a job is expected to cost, before it embeds anything. */
export const indexEstimateSchema = z.strictObject({
  files: z.int().nonnegative(),
  /** Of these so many were looked at; the rest is reckoned from them, by size. */
  sampledFiles: z.int().nonnegative(),
  chunks: z.int().nonnegative(),
  /** Chunks that are there already, or whose vector is known. */
  reused: z.int().nonnegative(),
  embedded: z.int().nonnegative(),
  tokens: z.int().nonnegative(),
  /** That would embed them now; null while no worker is there. */
  tier: tierNameSchema.nullable(),
  /** Null where no speed of a worker is known. */
  seconds: z.number().nonnegative().nullable(),
  /** Where the speed is known from, for people. */
  basis: z.string(),
  /** What a GPU would take, where the tier is another one; null where none has been measured here. */
  gpuSeconds: z.number().nonnegative().nullable(),
  /** Where none has been: what one NVIDIA T4 would take at its peak rate, reckoned from the model's size; a real run takes longer. */
  gpuPeakSeconds: z.number().nonnegative().nullable().default(null),
});
export type IndexEstimate = z.infer<typeof indexEstimateSchema>;

export const indexJobRequestSchema = z.strictObject({
  source: requestedSourceSchema,
  collection: collectionNameSchema.default(DEFAULT_COLLECTION),
  /** Default: the last part of the path or URL. */
  repo: repoNameSchema.optional(),
  mode: z.enum(['incremental', 'full']).default('incremental'),
  /** Which model a new collection is embedded by; default: the gateway's first. */
  model: z.string().min(1).max(255).optional(),
  /** Embed on these tiers only, and wait for their workers; default: any that the deployment declares. */
  tiers: z.array(tierNameSchema).min(1).optional(),
  /** Only say what it would cost: chunks, reuse, tokens, time. Nothing is embedded or written. */
  estimateOnly: z.boolean().optional(),
});
export type IndexJobRequest = z.infer<typeof indexJobRequestSchema>;

/** What a job of no repository says in its place: a move of a collection. */
export const ALL_REPOS = '*';

/** The same request as it lies in the queue: nothing left to default. */
export const indexJobPayloadSchema = indexJobRequestSchema.required({ repo: true }).extend({
  source: indexSourceSchema,
  /**
   * Ids of the spaces that the gateway meant: that of a collection which is not there yet, or those of a move. Default:
   * the indexer's first.
   */
  spaces: z.array(z.string()).min(1).max(2).optional(),
});
export type IndexJobPayload = z.infer<typeof indexJobPayloadSchema>;

const INDEX_JOB_STATES = ['queued', 'running', 'publishing', 'completed', 'failed', 'cancelled'] as const;
export const indexJobStateSchema = z.enum(INDEX_JOB_STATES);
export type IndexJobState = z.infer<typeof indexJobStateSchema>;
export const isEnded = (state: IndexJobState): boolean =>
  state === 'completed' || state === 'failed' || state === 'cancelled';

/** Something left out of an index, and why. Shown in the job so that nobody wonders where a file went. */
export const skippedFileSchema = z.strictObject({ path: z.string(), reason: z.string() });
export type SkippedFile = z.infer<typeof skippedFileSchema>;

/** Something that a caller should know of a job that goes on, or went well. */
export const indexWarningSchema = z.strictObject({ code: z.string(), message: z.string() });
export type IndexWarning = z.infer<typeof indexWarningSchema>;

export const indexProgressSchema = z.strictObject({
  /** Files read so far. */
  files: z.int().nonnegative(),
  /** Chunks found so far. */
  chunks: z.int().nonnegative(),
  /** Chunks that went through the model. */
  embedded: z.int().nonnegative(),
  /** Chunks that were there already or whose vector was known, as those of an import are. */
  reused: z.int().nonnegative(),
  /** Chunks that are no longer in the source. */
  removed: z.int().nonnegative(),
  /** Chunks expected in all; null until the source has been walked. */
  total: z.int().nonnegative().nullable(),
  tokens: z.int().nonnegative(),
  tokensPerSecond: z.number().nonnegative(),
  etaSeconds: z.number().nonnegative().nullable(),
  skipped: z.int().nonnegative(),
  /** Full text finds all chunks already, while their vectors are being made: the first indexing of a repo. */
  textSearchable: z.boolean(),
});
export type IndexProgress = z.infer<typeof indexProgressSchema>;

export const emptyProgress = (): IndexProgress => ({
  files: 0,
  chunks: 0,
  embedded: 0,
  reused: 0,
  removed: 0,
  total: null,
  tokens: 0,
  tokensPerSecond: 0,
  etaSeconds: null,
  skipped: 0,
  textSearchable: false,
});

export const indexJobSchema = z.strictObject({
  id: z.string(),
  state: indexJobStateSchema,
  collection: z.string(),
  repo: z.string(),
  source: indexSourceSchema,
  mode: z.enum(['incremental', 'full']),
  progress: indexProgressSchema,
  /** The first hundred of what was left out; `progress.skipped` counts all. */
  skippedFiles: z.array(skippedFileSchema),
  commit: z.string().nullable(),
  /** What has to come back before a running job goes on, in words; null while it works. */
  waitingFor: z.string().nullable(),
  estimateOnly: z.boolean(),
  /** Null until it is known, and for imports, which embed nothing. */
  estimate: indexEstimateSchema.nullable(),
  warnings: z.array(indexWarningSchema),
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
  createdAt: z.string(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
});
export type IndexJob = z.infer<typeof indexJobSchema>;

/** What the indexer says of a job while it works on it, kept as BullMQ's progress. */
export const indexReportSchema = z.strictObject({
  state: z.enum(['running', 'publishing', 'completed', 'cancelled']),
  progress: indexProgressSchema,
  skippedFiles: z.array(skippedFileSchema).max(100),
  commit: z.string().nullable(),
  waitingFor: z.string().nullable().default(null),
  estimate: indexEstimateSchema.nullable().optional(),
  warnings: z.array(indexWarningSchema).optional(),
});
export type IndexReport = z.infer<typeof indexReportSchema>;
