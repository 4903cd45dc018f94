import { z } from 'zod';
import { embeddingSpaceSchema } from './space.ts';
import { tierNameSchema } from './tiers.ts';

export const listOf = <T extends z.ZodType>(item: T) =>
  z.strictObject({ data: z.array(item), nextCursor: z.string().nullable() });

export const collectionSchema = z.strictObject({
  name: z.string(),
  space: embeddingSpaceSchema,
  spaceId: z.string(),
  /** Where it carries one: for queries that no tier of the first space can answer. */
  secondSpaceId: z.string().nullable(),
  /** Rows a search can see. */
  chunks: z.int().nonnegative(),
  /** Of these the ones that have a vector; full text finds the others too. */
  embedded: z.int().nonnegative(),
  repos: z.array(
    z.strictObject({
      name: z.string(),
      chunks: z.int().nonnegative(),
      embedded: z.int().nonnegative(),
      commit: z.string().nullable(),
      lastRun: z.string().nullable(),
      lastRunAt: z.string().nullable(),
    }),
  ),
  sizeBytes: z.int().nonnegative().nullable(),
  createdAt: z.string(),
});
export type Collection = z.infer<typeof collectionSchema>;

export const collectionListSchema = listOf(collectionSchema).extend({
  /** Those that the store has and does not tell about, each with the reason; the others are in `data` all the same. */
  unreadable: z.array(z.strictObject({ name: z.string(), code: z.string(), message: z.string() })),
});
export type CollectionList = z.infer<typeof collectionListSchema>;

const tierStatusSchema = z.strictObject({
  name: tierNameSchema,
  state: z.enum(['ready', 'saturated', 'starting', 'down', 'misaligned']),
  breaker: z.enum(['closed', 'open', 'half_open']),
  workers: z.int().nonnegative(),
  /** How many the demand of the last minute asks for. */
  requiredWorkers: z.int().nonnegative(),
  backlogTokens: z.int().nonnegative(),
  tokensPerSecond: z.number().nonnegative(),
  predictedMs: z.number().nullable(),
  alignment: z.number().nullable(),
  devices: z.array(z.string()),
  /** Why its workers run where they do: what was asked for, what was seen to run where, what did not work. */
  deviceReasons: z.array(z.string()),
});
/** How much waits in a lane of a tier. */
const laneDepthSchema = z.strictObject({
  tier: tierNameSchema,
  lane: z.enum(['query', 'bulk']),
  waiting: z.int(),
  active: z.int(),
  /** Tokens of all that was sent and is not answered yet. */
  tokens: z.int(),
});
export type LaneDepth = z.infer<typeof laneDepthSchema>;

export const clusterSchema = z.strictObject({
  /** `down`: the queue does not answer, and the rest is what was last known. */
  queue: z.enum(['ok', 'down']),
  tiers: z.array(tierStatusSchema),
  lanes: z.array(laneDepthSchema),
  space: z.string(),
  store: z.string(),
  /** Of OTHER_EMBEDDING_MODELS, each with workers and lanes of its own. */
  otherSpaces: z.array(
    z.strictObject({
      space: z.string(),
      tiers: z.array(tierStatusSchema),
      lanes: z.array(laneDepthSchema),
    }),
  ),
});
export type Cluster = z.infer<typeof clusterSchema>;
/** What is told of one space. */
export type SpaceStatus = Pick<Cluster, 'queue' | 'space' | 'tiers' | 'lanes'>;

export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string(),
  requestId: z.string(),
  retryAfterMs: z.int().optional(),
});
