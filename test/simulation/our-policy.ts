import type { TierName } from '@embergate/contracts/tiers.ts';
import { CLOSED, type BreakerRecord } from '@embergate/routing/breaker.ts';
import type { Admission } from '@embergate/routing/decision.ts';
import type { Fit } from '@embergate/routing/fit.ts';
import { requiredWorkers } from '@embergate/routing/required-workers.ts';
import { OurGateway } from './our-gateway.ts';
import type { Policy } from './policy.ts';
import type { Query } from './world.ts';

/** One query that a tier has promised to answer, and what the promise was. */
export interface Promised {
  query: Query;
  tier: TierName;
  at: number;
  remainingMs: number;
  admission: Admission;
  /** From the tier's load at the moment of the reservation; the admission's own may be older. */
  predictedMs: number;
  aheadTokens: number;
  /** Null while nobody has answered. */
  answeredAt: number | null;
  isFailover: boolean;
}

/** What the gateways of one cluster share through Redis, and what a run is measured by. */
export class OurCluster {
  readonly breakers = new Map<TierName, BreakerRecord>();
  readonly promised: Promised[] = [];
  readonly counts = { refused: 0, races: 0, failovers: 0, opened: 0 };
  /** Outlives the workers. */
  lastFit: Fit | null = null;

  breaker(tier: TierName): BreakerRecord {
    return this.breakers.get(tier) ?? CLOSED;
  }
}

/** The policy of libs/routing. `onCluster` hands out what a run can be measured by. */
export function ourPolicy(onCluster: (cluster: OurCluster) => void = () => undefined): Policy {
  let cluster = new OurCluster();
  return {
    name: 'ours',
    gateways: (world, count) => {
      cluster = new OurCluster();
      onCluster(cluster);
      return Array.from({ length: count }, (_, at) => new OurGateway(world, cluster, `gateway-${at}`));
    },
    wantedWorkers: (world, tier) => {
      const fit = tier.workers.find(({ note }) => note !== null)?.note?.fit;
      cluster.lastFit = fit ?? cluster.lastFit;
      return requiredWorkers({ ...world.demand.read(), bulkWaits: tier.bulkWaits }, cluster.lastFit);
    },
  };
}
