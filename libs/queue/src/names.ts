import type { Lane, TierName } from '@embergate/contracts/tiers.ts';

/** All keys share one hash tag: on Redis Cluster a Lua script may touch several of them. */
export const KEY_PREFIX = '{embergate}';

export const laneQueueName = (tier: TierName, lane: Lane): string => `embed-${tier}-${lane}`;
export const INDEX_QUEUE_NAME = 'index';
export const WORKERS_KEY = `${KEY_PREFIX}:workers`;
export const inboxKey = (senderId: string): string => `${KEY_PREFIX}:inbox:${senderId}`;
export const cancelKey = (jobId: string): string => `${KEY_PREFIX}:index-cancel:${jobId}`;
