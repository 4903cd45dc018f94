import type { SimTier } from './sim-tier.ts';
import type { Query, World } from './world.ts';

export interface Gateway {
  ask: (query: Query) => void;
}

/** How the gateways of a cluster choose, and how many workers they say the first tier needs. */
export interface Policy {
  name: string;
  gateways: (world: World, count: number) => Gateway[];
  wantedWorkers: (world: World, tier: SimTier) => number;
}
