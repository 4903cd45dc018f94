import {
  closed,
  mayProbe,
  opened,
  PROBE_LEASE_MS,
  probing,
  rampIsDone,
  ramping,
  type BreakerRecord,
} from '@embergate/routing/breaker.ts';
import { LocalDetector } from './local-detector.ts';
import type { OurCluster } from './our-policy.ts';
import { viewOf, type SimJob, type SimTier } from './sim-tier.ts';
import type { World } from './world.ts';

const TICK_MS = 100;
/** As the product sets opossum: no opinion of fewer calls than this. */
const VOLUME = 3;
const CANARY = { tokens: 10, deadlineMs: Math.min(2_000, PROBE_LEASE_MS) } as const;

/** One gateway's part in the breakers that all share: its own detectors, its probes, and the steps of the ramp. */
export class BreakerKeeper {
  readonly #world: World;
  readonly #cluster: OurCluster;
  readonly #gateway: string;
  readonly #detectors: ReadonlyMap<SimTier, LocalDetector>;

  constructor(world: World, cluster: OurCluster, gateway: string) {
    this.#world = world;
    this.#cluster = cluster;
    this.#gateway = gateway;
    this.#detectors = new Map(world.tiers.map((tier) => [tier, new LocalDetector(VOLUME)]));
    const { time, random } = world;
    time.after(random.uniform() * TICK_MS, () => time.every(TICK_MS, () => this.#tick()));
  }

  /** A call was answered, or failed; while a tier returns, one failure is enough. */
  note(tier: SimTier, failed: boolean): void {
    const record = this.#cluster.breaker(tier.name);
    const isTripped = this.#detectors.get(tier)?.record(this.#world.time.now, failed) ?? false;
    if (record.state !== 'open' && (isTripped || (failed && record.state === 'ramp')))
      this.#open(tier, record, 'calls failed');
  }

  #open(tier: SimTier, record: BreakerRecord, reason: string): void {
    const { time, random } = this.#world;
    this.#cluster.counts.opened += 1;
    this.#cluster.breakers.set(tier.name, opened(record, time.now, { reason, draw: random.uniform() }));
    this.#detectors.get(tier)?.forget();
  }

  #tick(): void {
    const { now } = this.#world.time;
    for (const tier of this.#world.tiers) {
      const record = this.#cluster.breaker(tier.name);
      if (rampIsDone(record, now)) this.#cluster.breakers.set(tier.name, closed(record, now));
      const { workers } = viewOf(tier.name, tier.snapshot(), { now, share: 1 });
      if (workers.length > 0 && mayProbe(record, now)) this.#probe(tier, record);
    }
  }

  #probe(tier: SimTier, record: BreakerRecord): void {
    const { time } = this.#world;
    const { breakers } = this.#cluster;
    const lease = probing(record, time.now, this.#gateway);
    breakers.set(tier.name, lease);
    const end = (answered: boolean): void => {
      if (breakers.get(tier.name) !== lease) return;
      if (answered) breakers.set(tier.name, ramping(lease, time.now));
      else this.#open(tier, lease, 'the canary was not answered');
    };
    const canary: SimJob = {
      length: CANARY.tokens,
      deadlineAt: time.now + CANARY.deadlineMs,
      isWanted: true,
      isReserved: false,
      onAnswer: () => end(true),
      onError: () => end(false),
    };
    tier.push(canary);
    time.after(CANARY.deadlineMs, () => end(false));
  }
}
