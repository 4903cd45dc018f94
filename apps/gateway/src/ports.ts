import type { LaneDepth } from '@embergate/contracts/http-cluster.ts';
import type { IndexJob, IndexJobPayload } from '@embergate/contracts/index-job.ts';
import type { Lane, TierName } from '@embergate/contracts/tiers.ts';
import type { BreakerRecord } from '@embergate/routing/breaker.ts';
import type { Fit } from '@embergate/routing/fit.ts';
import type { Demand } from '@embergate/routing/required-workers.ts';
import type { TierLoad } from '@embergate/routing/tier-load.ts';

/** The index queue, as the routes see it. */
export interface IndexJobs {
  /** @param by whose job it is: the name of an API key; empty without keys. */
  add: (payload: IndexJobPayload, by: string) => Promise<IndexJob>;
  get: (id: string) => Promise<IndexJob>;
  list: (limit: number) => Promise<IndexJob[]>;
  cancel: (id: string) => Promise<IndexJob>;
  /** Throws `job_running` where a job of that collection has not ended. */
  expectNoneIn: (collection: string) => Promise<void>;
}

/** How much waits in the lanes. */
export interface LaneDepths {
  depths: (space: string, tiers: readonly TierName[]) => Promise<LaneDepth[]>;
  /** Removes what nobody takes and nobody waits for. */
  sweep: (space: string, tier: TierName, lane: Lane) => Promise<number>;
}

/** The time that all processes share, in milliseconds. */
export interface SharedClock {
  now: () => number;
}

/** One job's place in a lane. */
export interface Place {
  tier: TierName;
  lane: Lane;
  jobId: string;
}

/** What tiers have been promised, shared by all gateways. */
export interface TierAdmissions {
  reserve: (
    wanted: Place & { tokens: number; ttlMs: number; maxReservedTokens: number; breakerText: string | null },
  ) => Promise<{ admitted: boolean; load: TierLoad }>;
  load: (tier: TierName, lane: Lane) => Promise<TierLoad>;
  release: (place: Place) => Promise<void>;
}

/** The breakers' records, shared by all gateways. False: somebody else changed it in between. */
export interface BreakerStore {
  change: (tier: TierName, knownText: string, next: BreakerRecord) => Promise<boolean>;
}

/** What queries ask of each tier, summed over all gateways. */
export interface DemandCounts {
  record: (tier: TierName, tokens: number) => void;
  flush: () => Promise<void>;
  read: (tier: TierName) => Promise<Omit<Demand, 'bulkWaits'>>;
  /** Bulk work would go to the tier, had it a worker. */
  wantBulk: (tier: TierName) => void;
  isBulkWanted: (tier: TierName) => Promise<boolean>;
  lastKnownFit: (tier: TierName) => Promise<Fit | null>;
}
