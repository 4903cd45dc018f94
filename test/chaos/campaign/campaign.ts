import type { IndexJob } from '@embergate/contracts/index-job.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import type { StartRedis } from '@embergate/testing/kept-redis.ts';
import type { ProcessInfo } from '@embergate/testing/processes.ts';
import { RunningCluster } from '@embergate/testing/running-cluster.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { BulkLoad } from './bulk-load.ts';
import { BulkSource } from './bulk-source.ts';
import { isWell, leftInLanes } from './cluster-checks.ts';
import { DirectModel } from './direct-model.ts';
import type { Fault } from './faults.ts';
import { gatewayLag, type GatewayLag } from './gateway-lag.ts';
import { LoadBalancer } from './load-balancer.ts';
import type { Pace } from './pace.ts';
import { QueryLoad } from './query-load.ts';
import type { Phase, QueryRecord } from './query-record.ts';
import { seededRandom, shuffled, type Random } from './random.ts';
import { checkStored, wrongVectors, type StoredCheck } from './vector-checks.ts';

export interface CampaignOptions {
  startRedis: StartRedis;
  modelDir: string;
  faults: readonly Fault[];
  /** Times that each fault happens. */
  rounds: number;
  seed: number;
  pace: Pace;
  queriesPerSecond: number;
  /** Files of the folder that is indexed again and again. */
  bulkFiles: number;
  /** Told what happens, line by line. */
  say: (line: string) => void;
  /** Leaves data and logs where they are. */
  keepFolder: boolean;
}

/** One fault and what followed it. */
export interface FaultRun {
  phase: Phase;
  /** From the fault's end to the first answer of the gpu tier to a new query sent after it; null: none came. */
  recoveryMs: number | null;
  /** The same from when its worker was ready again, where that was later: how long a process takes to start is the machine's. */
  recoveryOfReadyMs: number | null;
  /** From the fault's end until both gateways said that all is well; null: not within {@link WELL_TIMEOUT_MS}. */
  wellMs: number | null;
  lag: GatewayLag | null;
}

/** All that a campaign saw; what it means is judged in bounds.ts. */
export interface Findings {
  seed: number;
  seconds: number;
  records: QueryRecord[];
  faults: FaultRun[];
  jobs: IndexJob[];
  vectors: { checked: number; wrong: QueryRecord[] };
  stored: StoredCheck;
  left: string[];
  orphans: ProcessInfo[];
  /** Of the load generator's own event loop. */
  generatorLagMs: { p99: number; max: number };
  markedDown: number;
  folder: string;
}

const TIERS = ['gpu', 'cpu'] as const;
const DEADLINE_MS = 2_000;
const WELL_TIMEOUT_MS = 60_000;
const COLLECTION = 'default';
/** How long a query of the gpu tier is waited for once the cluster says that it is well. */
const CARRIES_TIMEOUT_MS = 15_000;
const WARM_UP_MS = 2_000;

/** Runs real processes under load, hurts them one after the other, and looks at everything afterwards. */
export async function runCampaign(options: CampaignOptions): Promise<Findings> {
  const { startRedis, modelDir, say, keepFolder } = options;
  const cluster = await RunningCluster.start({ startRedis, modelDir, tiers: TIERS, gateways: 2 });
  say(`cluster of ${cluster.processes.length} processes in ${cluster.folder}`);
  const source = await temporaryFolder('bulk');
  let stopped = false;
  const stop = async (): Promise<ProcessInfo[]> => {
    stopped = true;
    return cluster.stop({ keepFolder: true });
  };
  try {
    return await new Campaign(cluster, options, source.path).run(stop);
  } finally {
    if (!stopped) await stop();
    await source.remove();
    if (!keepFolder) await cluster.removeFolder();
  }
}

class Campaign {
  readonly #cluster: RunningCluster;
  readonly #options: CampaignOptions;
  readonly #random: Random;
  readonly #balancer: LoadBalancer;
  readonly #source: BulkSource;
  readonly #bulk: BulkLoad;
  readonly #queries: QueryLoad;
  readonly #model: Promise<DirectModel>;

  constructor(cluster: RunningCluster, options: CampaignOptions, sourceRoot: string) {
    const { seed, queriesPerSecond, bulkFiles, modelDir } = options;
    this.#cluster = cluster;
    this.#options = options;
    this.#random = seededRandom(seed);
    this.#balancer = new LoadBalancer(cluster.urls);
    this.#source = new BulkSource({ root: sourceRoot, files: bulkFiles, random: seededRandom(seed + 1) });
    this.#bulk = new BulkLoad({ balancer: this.#balancer, source: this.#source, collection: COLLECTION });
    this.#model = DirectModel.load(modelDir);
    this.#queries = new QueryLoad({
      balancer: this.#balancer,
      random: seededRandom(seed + 2),
      perSecond: queriesPerSecond,
      deadlineMs: DEADLINE_MS,
      model: 'all-MiniLM-L6-v2',
      collection: COLLECTION,
    });
  }

  /** @param stop ends the cluster, and says what it left behind. */
  async run(stop: () => Promise<ProcessInfo[]>): Promise<Findings> {
    const startedAt = performance.now();
    const model = await this.#model;
    const ownLag = monitorEventLoopDelay({ resolution: 5 });
    ownLag.enable();
    this.#balancer.start();
    await this.#bulk.start();
    this.#options.say(`first index after ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`);
    this.#queries.start();
    await wait(WARM_UP_MS);
    const faults = await this.#hurt();
    await this.#queries.stop();
    ownLag.disable();
    const jobs = await this.#bulk.stop();
    this.#options.say(
      `last index job of ${jobs.length} after ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`,
    );
    const left = await leftInLanes(this.#cluster.urls);
    await this.#balancer.stop();
    const lost = await this.#cluster.orphans();
    const expected = await this.#source.expected();
    const lostPids = new Set(lost.map(({ pid }) => pid));
    const orphans = [...lost, ...(await stop()).filter(({ pid }) => !lostPids.has(pid))];
    const { records } = this.#queries;
    const vectors = await wrongVectors(records, model);
    const stored = await checkStored(this.#cluster.lanceDbPath, { collection: COLLECTION, expected, model });
    await model.release();
    return {
      seed: this.#options.seed,
      seconds: (performance.now() - startedAt) / 1_000,
      records,
      faults,
      jobs,
      vectors,
      stored,
      left,
      orphans,
      generatorLagMs: { p99: ownLag.percentile(99) / 1e6, max: ownLag.max / 1e6 },
      markedDown: this.#balancer.markedDown,
      folder: this.#cluster.folder,
    };
  }

  /** Every fault as often as rounds say, in an order that the seed decides. */
  async #hurt(): Promise<FaultRun[]> {
    const { faults, rounds, pace } = this.#options;
    const plan = shuffled(
      faults.flatMap((fault) => Array.from({ length: rounds }, (_, round) => ({ fault, round }))),
      this.#random,
    );
    const runs: FaultRun[] = [];
    for (const [n, { fault, round }] of plan.entries()) {
      const run = await this.#hurtOnce(fault, round);
      runs.push(run);
      // Still the fault's phase: what comes late of it is its own.
      await wait(pace.calmMs);
      await this.#queries.settled();
      this.#options.say(`${n + 1}/${plan.length} ${describe(run)}`);
    }
    return runs;
  }

  async #hurtOnce(fault: Fault, round: number): Promise<FaultRun> {
    const { pace } = this.#options;
    await gatewayLag(this.#cluster.urls); // forgets what was before
    const { kind, onlyGpuTier } = fault;
    const phase: Phase = { kind, onlyGpuTier, startedAt: performance.now(), endedAt: null };
    this.#queries.enter(phase);
    await fault.inject({ cluster: this.#cluster, pace, random: this.#random, round });
    const endedAt = performance.now();
    phase.endedAt = endedAt;
    const wellMs = await this.#well().then(
      () => performance.now() - endedAt,
      () => null,
    );
    const recoveryMs = await this.#gpuCarriesSince(endedAt);
    const startMs = Math.max(0, this.#cluster.worker('gpu').readyAt - endedAt);
    const recoveryOfReadyMs = recoveryMs && Math.max(0, recoveryMs - startMs);
    return { phase, recoveryMs, recoveryOfReadyMs, wellMs, lag: await gatewayLag(this.#cluster.urls) };
  }

  async #well(): Promise<void> {
    const { processes, urls } = this.#cluster;
    const look = async (): Promise<boolean> => processes.every((kept) => kept.isReady) && isWell(urls, TIERS);
    await eventually('the cluster is well again', look, WELL_TIMEOUT_MS);
  }

  async #gpuCarriesSince(endedAt: number): Promise<number | null> {
    const { records } = this.#queries;
    const look = (): QueryRecord | undefined =>
      records.find(({ isNew, sentAt, tier }) => isNew && sentAt >= endedAt && tier === 'gpu');
    const found = await eventually('the gpu tier carries queries', look, CARRIES_TIMEOUT_MS).catch(
      () => null,
    );
    return found && found.doneAt - endedAt;
  }
}

function describe({ phase, recoveryMs, recoveryOfReadyMs, wellMs }: FaultRun): string {
  const seconds = (ms: number | null): string => (ms === null ? 'never' : `${(ms / 1_000).toFixed(1)} s`);
  const lasted = (phase.endedAt ?? NaN) - phase.startedAt;
  return `${phase.kind}: lasted ${seconds(lasted)}, gpu answers after ${seconds(recoveryMs)} (${seconds(recoveryOfReadyMs)} after its worker was ready), all well after ${seconds(wellMs)}`;
}
