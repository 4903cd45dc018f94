import { spaceTag } from '@embergate/contracts/space.ts';
import type { Lane, TierName } from '@embergate/contracts/tiers.ts';

/** All keys share one hash tag: on Redis Cluster a Lua script may touch several of them. */
export const KEY_PREFIX = '{embergate}';

export const INDEX_QUEUE_NAME = 'index';
/** By caller and collection: the turn of the last index job. */
export const INDEX_TURNS_KEY = `${KEY_PREFIX}:index-turns`;
export const WORKERS_KEY = `${KEY_PREFIX}:workers`;

/** The names of one embedding space: its tiers share neither lanes nor breakers with those of another. */
export class SpaceKeys {
  readonly #tag: string;

  /** @param space its id, such as `model@1a2b3c4d`. */
  constructor(space: string) {
    this.#tag = spaceTag(space);
  }

  laneQueue(tier: TierName, lane: Lane): string {
    return `embed-${this.#tag}-${tier}-${lane}`;
  }

  /** What a lane of a tier has been promised. */
  reservations(tier: TierName, lane: Lane): { tokens: string; expiry: string; total: string } {
    const place = `${this.#tag}-${tier}-${lane}`;
    return {
      tokens: `${KEY_PREFIX}:reserved:${place}`,
      expiry: `${KEY_PREFIX}:reserved-until:${place}`,
      total: `${KEY_PREFIX}:reserved-total:${place}`,
    };
  }

  /** What the tier's workers compute now. */
  batches(tier: TierName): string {
    return `${KEY_PREFIX}:batches:${this.#tag}-${tier}`;
  }

  get breakers(): string {
    return `${KEY_PREFIX}:breakers:${this.#tag}`;
  }

  get breakerChannel(): string {
    return `${KEY_PREFIX}:breaker-changed:${this.#tag}`;
  }

  get fits(): string {
    return `${KEY_PREFIX}:fits:${this.#tag}`;
  }

  /** There while bulk work would go to a tier that has no worker. */
  bulkWanted(tier: TierName): string {
    return `${KEY_PREFIX}:bulk-wanted:${this.#tag}-${tier}`;
  }

  demand(tier: TierName): string {
    return `${KEY_PREFIX}:demand:${this.#tag}-${tier}`;
  }
}

/** What the variants of a space are compared with, and whose turn it is to publish it. */
export const alignmentKey = (space: string): string => `${KEY_PREFIX}:alignment:${space}`;
export const alignmentTurnKey = (space: string): string => `${KEY_PREFIX}:alignment-turn:${space}`;
export const inboxKey = (senderId: string): string => `${KEY_PREFIX}:inbox:${senderId}`;
export const cancelKey = (jobId: string): string => `${KEY_PREFIX}:index-cancel:${jobId}`;
