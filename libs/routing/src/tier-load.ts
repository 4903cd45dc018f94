import type { BreakerRecord } from './breaker.ts';

/** A batch that a worker computes now. */
export interface RunningBatch {
  workerId: string;
  /** Redis time in milliseconds at which it is predicted to end. */
  endsAt: number;
  /** Tokens of queries in it. */
  queryTokens: number;
}

/** What all gateways share about a tier, as Redis had it at one moment. */
export interface TierLoad {
  /** Tokens of all queries that were admitted and not answered yet, those in running batches included. */
  reservedTokens: number;
  batches: readonly RunningBatch[];
  breaker: BreakerRecord;
  /** The breaker's record as it is stored, to notice that it has changed. */
  breakerText: string;
}
