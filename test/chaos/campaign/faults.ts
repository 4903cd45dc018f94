import { eventually } from '@embergate/testing/eventually.ts';
import { signalIfThere } from '@embergate/testing/frozen-processes.ts';
import type { KeptProcess } from '@embergate/testing/kept-process.ts';
import type { RunningCluster } from '@embergate/testing/running-cluster.ts';
import { setTimeout as wait } from 'node:timers/promises';
import type { Pace } from './pace.ts';
import { pick, type Random } from './random.ts';

export interface FaultContext {
  cluster: RunningCluster;
  pace: Pace;
  random: Random;
  /** Counts the faults of this kind, from 0. */
  round: number;
}

export interface Fault {
  kind: string;
  /** Nothing but the gpu tier is touched: the cpu tier can carry every query. */
  onlyGpuTier: boolean;
  /**
   * Resolves at the fault's end: the process goes on, or has been started again and now loads what it needs.
   */
  inject: (context: FaultContext) => Promise<void>;
}

const gpuWorker = ({ cluster }: FaultContext): KeptProcess => cluster.worker('gpu');
const anyGateway = ({ cluster, random }: FaultContext): KeptProcess => pick(cluster.gateways, random);

async function frozenFor(ms: number, pid: number, { cluster }: FaultContext): Promise<void> {
  cluster.frozen.freeze(pid);
  await wait(ms);
  cluster.frozen.thaw(pid);
}

const SLOW_STOPPED_MS = 90;
const SLOW_RUNNING_MS = 10;

/** Ten times slower: of every 100 ms the model's process runs for 10. */
async function slowed(context: FaultContext): Promise<void> {
  const { cluster, pace } = context;
  let pid = await cluster.inferenceChild('gpu');
  const until = performance.now() + pace.slowMs;
  while (performance.now() < until) {
    try {
      await frozenFor(SLOW_STOPPED_MS, pid, context);
    } catch {
      // Its supervisor may have replaced it for being so slow. The new one is as slow.
      pid = await eventually('there is a new inference process', () => cluster.inferenceChild('gpu'));
    }
    await wait(SLOW_RUNNING_MS);
  }
}

/** Every other time without a word, as a spot instance goes; otherwise in order, as a deployment is scaled down. */
async function goneAndBack(context: FaultContext): Promise<void> {
  const worker = gpuWorker(context);
  await worker.takeDown(context.round % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
  await wait(context.pace.goneMs);
  worker.bringUp();
}

export const FAULTS: readonly Fault[] = [
  {
    kind: 'gpu-worker-killed',
    onlyGpuTier: true,
    inject: (context) => gpuWorker(context).kill(),
  },
  {
    // As a rolling update does.
    kind: 'gpu-worker-stopped',
    onlyGpuTier: true,
    inject: async (context) => {
      const worker = gpuWorker(context);
      await worker.takeDown('SIGTERM');
      worker.bringUp();
    },
  },
  {
    kind: 'gpu-worker-frozen',
    onlyGpuTier: true,
    inject: (context) => frozenFor(context.pace.frozenMs, gpuWorker(context).pid, context),
  },
  {
    kind: 'gpu-child-killed',
    onlyGpuTier: true,
    inject: async ({ cluster }) => void signalIfThere(await cluster.inferenceChild('gpu'), 'SIGKILL'),
  },
  {
    kind: 'gpu-child-frozen',
    onlyGpuTier: true,
    inject: async (context) =>
      frozenFor(context.pace.frozenMs, await context.cluster.inferenceChild('gpu'), context),
  },
  { kind: 'gpu-worker-slow', onlyGpuTier: true, inject: slowed },
  { kind: 'gpu-tier-gone', onlyGpuTier: true, inject: goneAndBack },
  {
    kind: 'gateway-killed',
    onlyGpuTier: false,
    inject: (context) => anyGateway(context).kill(),
  },
  {
    kind: 'gateway-frozen',
    onlyGpuTier: false,
    inject: (context) => frozenFor(context.pace.frozenMs, anyGateway(context).pid, context),
  },
  {
    kind: 'indexer-killed',
    onlyGpuTier: false,
    inject: ({ cluster }) => cluster.indexer.kill(),
  },
  {
    kind: 'indexer-frozen',
    onlyGpuTier: false,
    inject: (context) => frozenFor(context.pace.frozenMs, context.cluster.indexer.pid, context),
  },
  { kind: 'redis-restarted', onlyGpuTier: false, inject: ({ cluster }) => cluster.redis.restart() },
  {
    kind: 'redis-frozen',
    onlyGpuTier: false,
    inject: async (context) =>
      frozenFor(context.pace.redisFrozenMs, await context.cluster.redis.pid(), context),
  },
];

/** @throws when a kind is not known. */
export function faultsNamed(kinds: readonly string[] | undefined): readonly Fault[] {
  if (!kinds) return FAULTS;
  return kinds.map((wanted) => {
    const fault = FAULTS.find(({ kind }) => kind === wanted);
    if (!fault)
      throw new Error(`no fault is called ${wanted}; there are ${FAULTS.map(({ kind }) => kind).join(', ')}`);
    return fault;
  });
}
