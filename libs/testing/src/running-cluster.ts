import { EmbergateClient } from '@embergate/client/client.ts';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { orphansIn, processesIn } from './cluster-processes.ts';
import { eventually } from './eventually.ts';
import { FrozenProcesses, signalIfThere } from './frozen-processes.ts';
import { stablePort } from './free-port.ts';
import { KeptProcess, type AppCommand } from './kept-process.ts';
import { KeptRedis, type StartRedis } from './kept-redis.ts';
import { descendantsOf, type ProcessInfo } from './processes.ts';
import { temporaryFolder } from './running-embergate.ts';

export interface ClusterOptions {
  startRedis: StartRedis;
  modelDir: string;
  /** Name of the catalog or folder; default: the default model. */
  model?: string;
  /** In the order that the gateways declare; one worker each, on the CPU where `workerEnv` says nothing else. */
  tiers: readonly string[];
  gateways: number;
  /** From the end of a process to its next start; default 500. */
  restartDelayMs?: number;
  /** Beside what the cluster sets itself. */
  env?: NodeJS.ProcessEnv;
  /** Beside that, for the worker of a tier. */
  workerEnv?: Readonly<Record<string, NodeJS.ProcessEnv>>;
}

const START_TIMEOUT_MS = 300_000;
const ORPHAN_TIMEOUT_MS = 5_000;

/**
 * Embergate as a cluster runs it, on one machine: Redis, gateways over one LanceDB folder, an indexer, and a worker a
 * tier, each a real process under a keeper.
 */
export class RunningCluster {
  readonly redis: KeptRedis;
  readonly gateways: readonly KeptProcess[];
  readonly indexer: KeptProcess;
  readonly frozen = new FrozenProcesses();
  /** Data, logs and queue; removed by {@link stop}. */
  readonly folder: string;
  readonly #workers: ReadonlyMap<string, KeptProcess>;
  readonly #urls: readonly string[];
  readonly #removeFolder: () => Promise<void>;

  private constructor(parts: ClusterParts) {
    this.redis = parts.redis;
    this.gateways = parts.gateways;
    this.indexer = parts.indexer;
    this.#workers = parts.workers;
    this.#urls = parts.urls;
    this.folder = parts.folder.path;
    this.#removeFolder = parts.folder.remove;
  }

  /** Resolves when every process has said that it is ready. */
  static async start(options: ClusterOptions): Promise<RunningCluster> {
    const cluster = new RunningCluster(await prepare(options));
    try {
      for (const kept of cluster.processes) kept.bringUp();
      await Promise.all(cluster.processes.map((kept) => kept.whenReady(START_TIMEOUT_MS)));
    } catch (error) {
      await cluster.stop({ keepFolder: true });
      throw error;
    }
    return cluster;
  }

  /** All that is kept, but for Redis. */
  get processes(): KeptProcess[] {
    return [...this.#workers.values(), this.indexer, ...this.gateways];
  }

  get urls(): readonly string[] {
    return this.#urls;
  }

  get clients(): EmbergateClient[] {
    return this.#urls.map((url) => new EmbergateClient({ url }));
  }

  get lanceDbPath(): string {
    return join(this.folder, 'lancedb');
  }

  worker(tier: string): KeptProcess {
    const worker = this.#workers.get(tier);
    if (!worker) throw new Error(`this cluster has no tier ${tier}`);
    return worker;
  }

  /** The process that computes queries on a worker's model. */
  async inferenceChild(tier: string): Promise<number> {
    const [child] = await this.#children(tier, /inference-child\.ts$/);
    if (child === undefined) throw new Error(`the ${tier} worker has no inference process`);
    return child;
  }

  /** The processes that compute bulk work on it; none while there is no such work. */
  bulkChildren(tier: string): Promise<number[]> {
    return this.#children(tier, /inference-child\.ts bulk$/);
  }

  async #children(tier: string, command: RegExp): Promise<number[]> {
    const children = await descendantsOf(this.worker(tier).pid);
    return children.filter((child) => command.test(child.command)).map(({ pid }) => pid);
  }

  /** Processes that lost their parent and go on; those that are about to end get five seconds for it. */
  async orphans(): Promise<ProcessInfo[]> {
    return settled(() => orphansIn(this.folder));
  }

  /**
   * Ends everything in order: what serves first, what it needs last.
   * @returns what was still there afterwards, and was killed.
   */
  async stop({ keepFolder = false } = {}): Promise<ProcessInfo[]> {
    this.frozen.close();
    const down = (kept: readonly KeptProcess[]) => Promise.all(kept.map((one) => one.takeDown('SIGTERM')));
    await down(this.gateways);
    await down([this.indexer]);
    await down([...this.#workers.values()]);
    await this.redis.stop();
    const left = await settled(() => processesIn(this.folder));
    for (const { pid } of left) signalIfThere(pid, 'SIGKILL');
    if (!keepFolder) await this.removeFolder();
    return left;
  }

  async removeFolder(): Promise<void> {
    await this.#removeFolder();
  }
}

interface ClusterParts {
  redis: KeptRedis;
  gateways: KeptProcess[];
  indexer: KeptProcess;
  workers: Map<string, KeptProcess>;
  urls: string[];
  folder: Awaited<ReturnType<typeof temporaryFolder>>;
}

async function prepare(options: ClusterOptions): Promise<ClusterParts> {
  const { startRedis, tiers, gateways, restartDelayMs = 500, workerEnv = {} } = options;
  const folder = await temporaryFolder('cluster');
  const logDir = join(folder.path, 'logs');
  await mkdir(logDir);
  const redis = await KeptRedis.start(startRedis, join(folder.path, 'queue'));
  const common = clusterEnvironment(options, { DATA_DIR: folder.path, REDIS_URL: redis.url });
  const keep = (name: string, command: AppCommand, env: NodeJS.ProcessEnv = {}): KeptProcess =>
    new KeptProcess({ name, command, logDir, restartDelayMs, env: { ...common, ...env } });
  const ports: number[] = [];
  while (ports.length < gateways) ports.push(await stablePort());
  return {
    redis,
    folder,
    urls: ports.map((port) => `http://127.0.0.1:${port}`),
    gateways: ports.map((port, n) => keep(`gateway-${n + 1}`, 'gateway', { GATEWAY_PORT: String(port) })),
    indexer: keep('indexer', 'indexer'),
    workers: new Map(
      tiers.map((tier) => [
        tier,
        keep(`${tier}-worker`, 'worker', { WORKER_TIER: tier, EMBEDDING_DEVICE: 'cpu', ...workerEnv[tier] }),
      ]),
    ),
  };
}

/** Nothing of the surroundings but what finds programs. Every process carries the folder's name, by which it is known. */
function clusterEnvironment(
  { modelDir, model, tiers, env = {} }: ClusterOptions,
  own: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  const { PATH, HOME } = process.env;
  return {
    PATH,
    HOME,
    NO_COLOR: '1',
    LOG_LEVEL: 'info',
    MODEL_DIR: modelDir,
    ...(model !== undefined && { EMBEDDING_MODEL: model }),
    EMBEDDING_TIERS: tiers.join(','),
    INDEX_ROOTS: tmpdir(),
    ...own,
    ...env,
  };
}

/** What is still found after five seconds; usually nothing, and at once. */
async function settled(look: () => Promise<ProcessInfo[]>): Promise<ProcessInfo[]> {
  try {
    await eventually('nothing is left', async () => (await look()).length === 0, ORPHAN_TIMEOUT_MS);
    return [];
  } catch {
    return look();
  }
}
