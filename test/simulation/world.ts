import type { TierName } from '@embergate/contracts/tiers.ts';
import type { Fit } from '@embergate/routing/fit.ts';
import { Autoscaler } from './autoscaler.ts';
import { DemandWindows } from './demand-windows.ts';
import type { PACKINGS } from './packing.ts';
import type { Gateway, Policy } from './policy.ts';
import { Random } from './random.ts';
import { SimTier, type SimJob } from './sim-tier.ts';
import { VirtualTime } from './virtual-time.ts';

const DEADLINE_MS = 2_000;

/** One question of a user, and how it ended. */
export interface Query {
  arrivedAt: number;
  deadlineAt: number;
  tokens: number;
  outcome: Outcome | null;
  /** Where it waits or is computed: given back once somebody has answered, or nobody waits. */
  attempts: { job: SimJob; tier: SimTier }[];
}
export type Outcome =
  | { kind: 'vector'; tier: TierName; at: number }
  /** Refused at once: the caller gets what full text finds, and is told so. */
  | { kind: 'lexical'; reason: string; at: number }
  /** Nothing until the deadline. */
  | { kind: 'nothing'; at: number };

/** What is done to all workers of a tier, from then until then. */
export interface Fault {
  kind: 'kill' | 'freeze' | 'slow' | 'fail';
  tier: TierName;
  fromMs: number;
  untilMs: number;
  /** How many times slower (`slow`), or how long a killed worker takes to load again (`kill`). */
  value?: number;
}

export interface TierSetup {
  name: TierName;
  workers: number;
  /** What a batch takes. */
  truth: Fit;
  bulkWaits: boolean;
}

export interface Scenario {
  name: string;
  story: string;
  seconds: number;
  /** Queries a second at a moment, and the most there ever are. */
  perSecond: (ms: number) => number;
  peakPerSecond: number;
  tiers: readonly TierSetup[];
  gateways: number;
  /** How old what a gateway knows may be. */
  staleMs: number;
  /** Deviation of the logarithm of a batch's duration. */
  noise: number;
  /** Which of the waiting queries make a batch. */
  packing: keyof typeof PACKINGS;
  faults: readonly Fault[];
  /** Whether the first tier's workers follow what is asked of it, and how long a new one takes to load. */
  autoscale: { loadMs: number; maxWorkers: number } | null;
}

const TOKENS = { median: 18, sigma: 0.55, min: 5, max: 60 } as const;

/** Everything of one run: the tiers with their workers, the gateways under one policy, who asks, and what breaks. */
export class World {
  readonly time = new VirtualTime();
  readonly random: Random;
  readonly scenario: Scenario;
  readonly tiers: readonly SimTier[];
  readonly demand: DemandWindows;
  readonly autoscaler: Autoscaler | null;
  readonly queries: Query[] = [];
  /** Queries computed while somebody waited, and those that nobody waited for any more. */
  readonly computed = { inTime: 0, forNobody: 0 };
  readonly #gateways: readonly Gateway[];

  constructor(scenario: Scenario, policy: Policy, seed: number) {
    this.scenario = scenario;
    this.random = new Random(seed);
    const arrivals = this.random.fork();
    this.tiers = scenario.tiers.map((setup) => this.#makeTier(setup));
    this.demand = new DemandWindows(this.time);
    const [first] = this.tiers;
    if (!first) throw new Error('A scenario needs a tier.');
    this.autoscaler = scenario.autoscale
      ? new Autoscaler({ ...scenario.autoscale, world: this, tier: first, wanted: policy.wantedWorkers })
      : null;
    this.#gateways = policy.gateways(this, scenario.gateways);
    for (const fault of scenario.faults) this.#plan(fault);
    this.#arrive(arrivals);
  }

  run(): this {
    this.time.runUntil(this.scenario.seconds * 1_000 + 2 * DEADLINE_MS);
    return this;
  }

  /** A job for a query, not yet in any lane. */
  job(query: Query, tier: SimTier, { onAnswer, onError }: Pick<SimJob, 'onAnswer' | 'onError'>): SimJob {
    const job: SimJob = {
      length: query.tokens,
      deadlineAt: query.deadlineAt,
      isWanted: true,
      isReserved: false,
      onAnswer: () => {
        const isInTime = this.settle(query, { kind: 'vector', tier: tier.name, at: this.time.now });
        this.computed[isInTime ? 'inTime' : 'forNobody'] += 1;
        onAnswer();
      },
      onError,
    };
    query.attempts.push({ job, tier });
    return job;
  }

  /** The first end of a query counts. @returns whether it was this one. */
  settle(query: Query, outcome: Outcome): boolean {
    if (query.outcome) return false;
    query.outcome = outcome;
    for (const { job, tier } of query.attempts) {
      job.isWanted = false;
      tier.release(job);
    }
    return true;
  }

  #makeTier({ name, workers, truth, bulkWaits }: TierSetup): SimTier {
    const { time } = this;
    const random = this.random.fork();
    const tier = new SimTier({
      name,
      time,
      random,
      truth,
      noise: this.scenario.noise,
      packing: this.scenario.packing,
      bulkWaits,
    });
    for (let count = 0; count < workers; count++) tier.addWorker(0);
    return tier;
  }

  /** A Poisson process at the peak rate, thinned to the rate of the moment. */
  #arrive(random: Random): void {
    const { perSecond, peakPerSecond, seconds } = this.scenario;
    this.time.after(random.exponential(1_000 / peakPerSecond), () => {
      const { now } = this.time;
      if (now >= seconds * 1_000) return;
      const isThinned = random.uniform() * peakPerSecond >= perSecond(now);
      const length = random.logNormal(TOKENS.median, TOKENS.sigma);
      const gateway = this.#gateways[Math.floor(random.uniform() * this.#gateways.length)];
      if (!isThinned && gateway) {
        const tokens = Math.round(Math.min(TOKENS.max, Math.max(TOKENS.min, length)));
        this.#ask(gateway, {
          arrivedAt: now,
          deadlineAt: now + DEADLINE_MS,
          tokens,
          outcome: null,
          attempts: [],
        });
      }
      this.#arrive(random);
    });
  }

  #ask(gateway: Gateway, query: Query): void {
    this.queries.push(query);
    this.time.after(DEADLINE_MS, () => this.settle(query, { kind: 'nothing', at: this.time.now }));
    gateway.ask(query);
  }

  #plan({ kind, tier: name, fromMs, untilMs, value = 1 }: Fault): void {
    const workers = () => this.tiers.find((tier) => tier.name === name)?.workers ?? [];
    const each = (action: (worker: SimTier['workers'][number]) => void) => () => workers().forEach(action);
    const [begin, end] = {
      kill: [each((worker) => worker.kill()), each((worker) => worker.start(value))],
      freeze: [each((worker) => worker.freeze()), each((worker) => worker.thaw())],
      slow: [each((worker) => (worker.slower = value)), each((worker) => (worker.slower = 1))],
      fail: [each((worker) => (worker.isFailing = true)), each((worker) => (worker.isFailing = false))],
    }[kind] as [() => void, () => void];
    this.time.after(fromMs, begin);
    this.time.after(untilMs, end);
  }
}
