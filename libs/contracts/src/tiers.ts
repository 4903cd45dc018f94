import { z } from 'zod';
import { alignmentSchema } from './alignment.ts';

/** A pool of workers of one variant. A deployment declares its tiers in order of preference. */
export const TIER_NAMES = ['gpu', 'remote', 'cpu'] as const;
export const tierNameSchema = z.enum(TIER_NAMES);
export type TierName = z.infer<typeof tierNameSchema>;

/** `query`: someone waits. `bulk`: nobody does. */
export const LANES = ['query', 'bulk'] as const;
export type Lane = (typeof LANES)[number];

/** Milliseconds a batch takes: `a + b * paddedTokens`. */
export const fitSchema = z.strictObject({ a: z.number().nonnegative(), b: z.number().nonnegative() });

/**
 * What a worker says of itself every second. A worker is dead after three missed beats.
 * `stalled`: its model computes on a batch for far longer than predicted. `misaligned`: its vectors are not those of the collections
 * of its space, so it takes no work. `fit` is its measured
 * `duration = a + b * paddedTokens` in milliseconds, `batchTokens` the mean of its last batches.
 */
export const heartbeatSchema = z.strictObject({
  workerId: z.string(),
  tier: tierNameSchema,
  state: z.enum(['starting', 'ready', 'stalled', 'misaligned', 'draining']),
  space: z.string(),
  model: z.string(),
  variant: z.string(),
  /** Where the model was seen to run: `cpu`, `cuda`, `webgpu`; `none` before that. */
  device: z.string(),
  /** Why it runs there, for people; empty before that. */
  deviceReason: z.string().optional(),
  fit: fitSchema.nullable(),
  batchTokens: z.number().nonnegative(),
  /** Null until it has been measured: without a collection there is nothing to be compared with. */
  alignment: alignmentSchema.nullable(),
  /** Redis time in milliseconds. */
  at: z.number(),
});
export type Heartbeat = z.infer<typeof heartbeatSchema>;

export const HEARTBEAT_INTERVAL_MS = 1_000;
export const HEARTBEATS_UNTIL_DEAD = 3;
