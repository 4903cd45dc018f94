import type { IndexJob, IndexJobPayload } from '@embergate/contracts/index-job.ts';
import type { Lane, TierName } from '@embergate/contracts/tiers.ts';

/** The index queue, as the routes see it. */
export interface IndexJobs {
  add: (payload: IndexJobPayload) => Promise<IndexJob>;
  get: (id: string) => Promise<IndexJob>;
  list: (limit: number) => Promise<IndexJob[]>;
  cancel: (id: string) => Promise<IndexJob>;
}

/** How much waits in the lanes. */
export interface LaneDepths {
  depths: (
    tiers: readonly TierName[],
  ) => Promise<{ tier: TierName; lane: Lane; waiting: number; active: number }[]>;
}
