import type { Lane, TierName } from '@embergate/contracts/tiers.ts';

/** All keys share one hash tag: on Redis Cluster a Lua script may touch several of them. */
export const KEY_PREFIX = '{embergate}';

export const laneQueueName = (tier: TierName, lane: Lane): string => `embed-${tier}-${lane}`;
export const INDEX_QUEUE_NAME = 'index';
export const WORKERS_KEY = `${KEY_PREFIX}:workers`;
/** What a lane of a tier has been promised. */
export const reservationKeys = (tier: TierName, lane: Lane) => ({
  tokens: `${KEY_PREFIX}:reserved:${tier}-${lane}`,
  expiry: `${KEY_PREFIX}:reserved-until:${tier}-${lane}`,
  total: `${KEY_PREFIX}:reserved-total:${tier}-${lane}`,
});
/** What the tier's workers compute now. */
export const batchesKey = (tier: TierName): string => `${KEY_PREFIX}:batches:${tier}`;
export const BREAKERS_KEY = `${KEY_PREFIX}:breakers`;
export const BREAKER_CHANNEL = `${KEY_PREFIX}:breaker-changed`;
export const FITS_KEY = `${KEY_PREFIX}:fits`;
/** There while bulk work would go to a tier that has no worker. */
export const bulkWantedKey = (tier: TierName): string => `${KEY_PREFIX}:bulk-wanted:${tier}`;
export const demandKey = (tier: TierName): string => `${KEY_PREFIX}:demand:${tier}`;
/** What the variants of a space are compared with, and whose turn it is to publish it. */
export const alignmentKey = (space: string): string => `${KEY_PREFIX}:alignment:${space}`;
export const alignmentTurnKey = (space: string): string => `${KEY_PREFIX}:alignment-turn:${space}`;
export const inboxKey = (senderId: string): string => `${KEY_PREFIX}:inbox:${senderId}`;
export const cancelKey = (jobId: string): string => `${KEY_PREFIX}:index-cancel:${jobId}`;
