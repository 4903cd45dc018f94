import { isEnded, type IndexJob } from '@embergate/contracts/index-job.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import type { StartRedis } from '@embergate/testing/kept-redis.ts';
import { RunningCluster } from '@embergate/testing/running-cluster.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { QdrantServer } from '@embergate/testing/qdrant-server.ts';
import { createLanceDbStore } from '@embergate/vector-store-lancedb/lancedb-store.ts';
import { createQdrantStore } from '@embergate/vector-store-qdrant/qdrant-store.ts';
import type { SampledRow, VectorStore } from '@embergate/vector-store/store.ts';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { seededRandom, shuffled, type Random } from '../campaign/random.ts';
import { embeddedTexts } from './embedded-count.ts';
import type { Kill } from './kills.ts';
import { isMoved, isShared, writeProjects, type ProjectState } from './projects.ts';
import { roundOf, type Round } from './rounds.ts';
import { SearchWatch, type SearchCounts } from './search-watch.ts';
import { describeRun, embeddedTwice, type DisturbedRun, type Struck } from './disturbed-run.ts';
import { compareRows, embeddedRowsOfRun, visibleRows } from './stored-rows.ts';

export interface IndexCampaignOptions {
  startRedis: StartRedis;
  modelDir: string;
  /** Path of a Qdrant server to run on; null: LanceDB. */
  qdrantBinary: string | null;
  /** Times that each process is killed. */
  points: number;
  /** Which ones; default: all. */
  kinds: readonly Kill[];
  seed: number;
  /** No run is begun after so long, whatever is left of the kills. */
  mostMinutes: number;
  /** Of each of the two states of the project: one chunk a file. */
  files: number;
  say: (line: string) => void;
}

export interface IndexFindings {
  seed: number;
  seconds: number;
  undisturbedSeconds: number;
  runs: DisturbedRun[];
  searches: SearchCounts;
  orphans: string[];
}

const REPO = 'project';
const POLL_MS = 50;
const JOB_TIMEOUT_MS = 240_000;
/** Of the kills, those that are aimed at the moment in which a run is published. */
const AIMED_SHARE = 0.25;
const PUBLISHING_MS = 400;
/** Of the kills, those that do not wait until the run goes on after the one before. */
const DOUBLE_SHARE = 0.2;

/** Index runs on real processes of which each is killed again and again; afterwards every row is compared. */
export async function runIndexCampaign(options: IndexCampaignOptions): Promise<IndexFindings> {
  const { qdrantBinary: binary, files } = options;
  const source = await temporaryFolder('project');
  let qdrant: QdrantServer | null = null;
  try {
    const folders = await writeProjects(source.path, files);
    if (binary !== null) qdrant = await QdrantServer.start({ binary, folder: join(source.path, 'qdrant') });
    return await runOn(qdrant, { ...options, folders });
  } finally {
    await qdrant?.kill();
    await source.remove();
  }
}

async function runOn(
  qdrant: QdrantServer | null,
  options: Omit<Parts, 'store' | 'qdrant'>,
): Promise<IndexFindings> {
  const { startRedis, modelDir, say } = options;
  const cluster = await RunningCluster.start({
    startRedis,
    modelDir,
    tiers: ['cpu'],
    gateways: 1,
    restartDelayMs: 200,
    ...(qdrant && { env: { QDRANT_URL: qdrant.url } }),
    workerEnv: { cpu: { LOG_LEVEL: 'debug' } },
  });
  let store: VectorStore | undefined;
  let orphans: string[] = ['the cluster was not stopped'];
  try {
    store = qdrant
      ? createQdrantStore({ url: qdrant.url })
      : await createLanceDbStore({ path: cluster.lanceDbPath });
    const findings = await new IndexCampaign(cluster, { ...options, store, qdrant }).run();
    say('stopping');
    orphans = (await cluster.stop({ keepFolder: true })).map(({ pid, command }) => `${pid} ${command}`);
    return { ...findings, orphans };
  } finally {
    await store?.close();
    if (orphans.length > 0) await cluster.stop({ keepFolder: true });
    await cluster.removeFolder();
  }
}

type Parts = IndexCampaignOptions & {
  folders: Record<ProjectState, string>;
  store: VectorStore;
  qdrant: QdrantServer | null;
};

class IndexCampaign {
  readonly #cluster: RunningCluster;
  readonly #parts: Parts;
  readonly #random: Random;
  readonly #watch: SearchWatch;
  /** What the rows of a state are when nothing happens. */
  readonly #expected = new Map<ProjectState, SampledRow[]>();
  #undisturbedMs = 0;

  constructor(cluster: RunningCluster, parts: Parts) {
    this.#cluster = cluster;
    this.#parts = parts;
    this.#random = seededRandom(parts.seed);
    this.#watch = new SearchWatch(cluster, parts.store);
  }

  async run(): Promise<Omit<IndexFindings, 'orphans'>> {
    const { points, kinds, seed, mostMinutes, say } = this.#parts;
    const startedAt = performance.now();
    const kills = shuffled(
      kinds.flatMap((kill) => Array.from({ length: points }, () => kill)),
      this.#random,
    );
    const perRun = new Set(kinds).size;
    const runs: DisturbedRun[] = [];
    const until = startedAt + mostMinutes * 60_000;
    for (let n = 0; kills.length > 0 && performance.now() < until; n++) {
      const round = roundOf(n);
      if (!this.#expected.has(round.to)) await this.#undisturbed(round.to);
      const run = await this.#disturbed(round, kills, perRun);
      runs.push(run);
      say(`${kills.length} kills to come; ${describeRun(run)}`);
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    const undisturbedSeconds = this.#undisturbedMs / 1_000;
    return { seed, seconds, undisturbedSeconds, runs, searches: this.#watch.counts };
  }

  /** Of the second state by a run that finds the first one there, as the disturbed runs do. */
  async #undisturbed(state: ProjectState): Promise<void> {
    const collection = 'undisturbed';
    const startedAt = performance.now();
    const job = await this.#begin({ collection, to: state, mode: 'incremental' });
    const ended = await this.#ended(job.id);
    if (ended.state !== 'completed') throw new Error(`the undisturbed run is ${ended.state}`);
    const tookMs = performance.now() - startedAt;
    this.#undisturbedMs ||= tookMs;
    this.#expected.set(state, await visibleRows(this.#parts.store, collection));
    this.#parts.say(`undisturbed: ${this.#rowsOf(state).length} chunks in ${(tookMs / 1e3).toFixed(1)} s`);
  }

  /** Takes as many kills off the list as fall into the run. */
  async #disturbed(round: Round, kills: Kill[], perRun: number): Promise<DisturbedRun> {
    const { store } = this.#parts;
    const { collection, from, to, name } = round;
    await this.#bulkLaneIsEmpty();
    const startedAt = performance.now();
    const embeddedAtStart = await this.#embedded();
    const counts = { before: this.#ownRows('before'), after: this.#ownRows('after') };
    this.#watch.begin({ collection, from, to, counts });
    const job = await this.#begin(round);
    const struck: Struck[] = [];
    while (kills[0] && struck.length < perRun && (await this.#strikeAt(job.id))) {
      const [kill] = kills.splice(0, 1) as [Kill];
      struck.push(await this.#strike(kill, { ...round, runId: job.id }));
      if (this.#random() >= DOUBLE_SHARE) await this.#goesOn(kill, job.id);
    }
    const ended = await this.#ended(job.id);
    await this.#watch.end();
    const embedded = (await this.#embedded()) - embeddedAtStart;
    const needed = this.#needed(round);
    const pending = (await store.listRuns(collection)).filter(({ state }) => state === 'pending');
    return {
      name,
      struck,
      state: ended.state,
      error: ended.error,
      seconds: (performance.now() - startedAt) / 1_000,
      needed,
      embedded,
      rows: compareRows(await visibleRows(store, collection), this.#rowsOf(to)),
      embeddedTwice: embeddedTwice(struck, { needed, embedded, embeddedAtStart }),
      leftPending: pending.length,
    };
  }

  /** Waits for a moment in the run, any share of it being as likely as any other. @returns false where the run has ended by then. */
  async #strikeAt(jobId: string): Promise<boolean> {
    const isAimed = this.#random() < AIMED_SHARE;
    const share = isAimed ? 1 : this.#random();
    const laterMs = this.#random() * (isAimed ? PUBLISHING_MS : POLL_MS);
    const until = performance.now() + JOB_TIMEOUT_MS;
    for (let job = await this.#look(jobId); performance.now() < until; job = await this.#look(jobId)) {
      if (job && isEnded(job.state)) return false;
      const { embedded = 0, reused = 0, total } = job?.progress ?? {};
      if (job?.state === 'publishing' || embedded + reused >= share * (total ?? Infinity)) break;
      await wait(POLL_MS / 5);
    }
    await wait(laterMs);
    const job = await this.#look(jobId);
    return !job || !isEnded(job.state);
  }

  async #strike(kill: Kill, run: Round & { runId: string }): Promise<Struck> {
    const job = await this.#look(run.runId);
    const isMade = (path: string): boolean => makesAll(run) || !isMoved(path);
    const stored = await embeddedRowsOfRun(this.#parts.store, { ...run, repo: REPO, isMade });
    await eventually(`the ${kill.kind} is there to be killed`, async () => {
      await this.#watch.during(kill.kind, () => kill.strike(this.#cluster, this.#parts.qdrant));
      return true;
    });
    const { embedded = 0, reused = 0, total } = job?.progress ?? {};
    return {
      kind: kill.kind,
      inFlightTexts: kill.inFlightTexts,
      state: job?.state ?? 'unknown',
      progress: `${embedded + reused}/${total ?? '?'}`,
      stored,
      embeddedBefore: await this.#embedded(),
    };
  }

  /** Until what was killed does its part again, so that the next kill finds a run at work. */
  async #goesOn(kill: Kill, jobId: string): Promise<void> {
    const before = await this.#look(jobId);
    await eventually(
      `the run goes on after the ${kill.kind} was killed`,
      async () => {
        if (!this.#cluster.processes.every(({ isReady }) => isReady)) return false;
        const job = await this.#look(jobId);
        if (!job) return false;
        return kill.kind !== 'indexer' || isEnded(job.state) || job.startedAt !== before?.startedAt;
      },
      60_000,
    );
  }

  async #begin({ collection, to, mode }: Pick<Round, 'collection' | 'to' | 'mode'>): Promise<IndexJob> {
    const path = this.#parts.folders[to];
    const [client] = this.#cluster.clients;
    return eventually(
      'an index job is taken',
      () => client?.createIndexJob({ source: { type: 'directory', path }, collection, repo: REPO, mode }),
      60_000,
    );
  }

  async #look(jobId: string): Promise<IndexJob | null> {
    return (await this.#cluster.clients[0]?.indexJob(jobId).catch(() => null)) ?? null;
  }

  async #ended(jobId: string): Promise<IndexJob> {
    const look = async (): Promise<IndexJob | null> => {
      const job = await this.#look(jobId);
      return job && isEnded(job.state) ? job : null;
    };
    return eventually(`job ${jobId} ends`, look, JOB_TIMEOUT_MS);
  }

  /** What the run before has left there would count as this one's. */
  async #bulkLaneIsEmpty(): Promise<void> {
    await eventually(
      'the bulk lane is empty',
      async () => {
        const { lanes = [] } = (await this.#cluster.clients[0]?.cluster().catch(() => null)) ?? {};
        const bulk = lanes.filter(({ lane }) => lane === 'bulk');
        return bulk.length > 0 && bulk.every(({ waiting, active }) => waiting + active === 0);
      },
      JOB_TIMEOUT_MS,
    );
  }

  #embedded(): Promise<number> {
    return embeddedTexts(join(this.#cluster.folder, 'logs', 'cpu-worker.log'));
  }

  #rowsOf(state: ProjectState): SampledRow[] {
    return this.#expected.get(state) ?? [];
  }

  #ownRows(state: ProjectState): number {
    return this.#rowsOf(state).filter(({ path }) => !isShared(path)).length;
  }

  #needed(round: Round): number {
    return makesAll(round) ? this.#rowsOf(round.to).length : this.#ownRows(round.to);
  }
}

/** Whether the run makes every vector itself. */
const makesAll = ({ from, mode }: Round): boolean => from === 'nothing' || mode === 'full';
