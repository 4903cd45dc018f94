import { z } from 'zod';

/** A pool of workers of one variant. A deployment declares its tiers in order of preference. */
export const TIER_NAMES = ['gpu', 'remote', 'cpu'] as const;
export const tierNameSchema = z.enum(TIER_NAMES);
export type TierName = z.infer<typeof tierNameSchema>;

/** `query`: someone waits. `bulk`: nobody does. */
export const LANES = ['query', 'bulk'] as const;
export type Lane = (typeof LANES)[number];

/**
 * What a worker says of itself every second. A worker is dead after three missed beats.
 * `fit` is the worker's measured `duration = a + b * paddedTokens` in milliseconds.
 */
export const heartbeatSchema = z.strictObject({
  workerId: z.string(),
  tier: tierNameSchema,
  state: z.enum(['starting', 'ready', 'draining', 'failed']),
  space: z.string(),
  model: z.string(),
  variant: z.string(),
  device: z.string(),
  fit: z.strictObject({ a: z.number().nonnegative(), b: z.number().nonnegative() }).nullable(),
  tokensPerSecond: z.number().nonnegative(),
  /** Redis time in milliseconds. */
  at: z.number(),
});
export type Heartbeat = z.infer<typeof heartbeatSchema>;

export const HEARTBEAT_INTERVAL_MS = 1_000;
export const HEARTBEATS_UNTIL_DEAD = 3;
