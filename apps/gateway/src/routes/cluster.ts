import type { Cluster } from '@embergate/contracts/http-cluster.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { predictMs } from '@embergate/embedding/fit.ts';
import type { WorkerView } from '@embergate/embedding/transport.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import type { Handler } from '../app.ts';
import { sendEvents } from '../http/sse.ts';
import type { GatewayMetrics } from '../metrics.ts';
import type { LaneDepths } from '../ports.ts';

export interface ClusterParts {
  tiers: readonly TierName[];
  space: string;
  workers: WorkerView;
  lanes: LaneDepths;
  store: VectorStore;
}

/** A query of usual length, for `predictedMs`. */
const TYPICAL_TOKENS = 16;
const EVENT_INTERVAL_MS = 1_000;
const PROBE_TIMEOUT_MS = 2_000;

export const clusterHandler =
  (parts: ClusterParts): Handler =>
  async (_request, response) => {
    response.json(await describeCluster(parts));
  };

export const clusterEventsHandler =
  (parts: ClusterParts, closing: AbortSignal): Handler =>
  async (_request, response) => {
    const next = async () => ({ data: await describeCluster(parts), last: false });
    await sendEvents(response, { event: 'cluster', everyMs: EVENT_INTERVAL_MS, closing, next });
  };

async function describeCluster({ tiers, space, workers, lanes, store }: ClusterParts): Promise<Cluster> {
  const living = workers.living();
  return {
    tiers: tiers.map((name) => {
      const beats = living.filter((beat) => beat.tier === name && beat.space === space);
      const ready = beats.filter((beat) => beat.state === 'ready');
      const fits = ready.flatMap(({ fit }) => (fit ? [fit] : []));
      const state =
        ready.length > 0 ? 'ready' : beats.some((beat) => beat.state === 'starting') ? 'starting' : 'down';
      return {
        name,
        state,
        breaker: 'closed',
        workers: ready.length,
        backlogTokens: 0,
        tokensPerSecond: ready.reduce((sum, beat) => sum + beat.tokensPerSecond, 0),
        predictedMs: fits.length > 0 ? Math.min(...fits.map((fit) => predictMs(fit, TYPICAL_TOKENS))) : null,
        alignment: null,
        devices: [...new Set(beats.map((beat) => beat.device))],
      };
    }),
    lanes: await lanes.depths(tiers),
    space,
    store: store.name,
  };
}

export const livezHandler: Handler = (_request, response) => response.json({ status: 'ok' });

/** GET /readyz: 200 when a search can be answered in full now, vectors included; else 503 with each check's reason. */
export const readyzHandler =
  ({ tiers, space, workers, store }: ClusterParts, pingQueue: () => Promise<unknown>): Handler =>
  async (_request, response) => {
    const ready = workers
      .living()
      .some((beat) => beat.state === 'ready' && beat.space === space && tiers.includes(beat.tier));
    const [storeCheck, queueCheck] = await Promise.all([probe(() => store.ping()), probe(pingQueue)]);
    const checks = {
      store: storeCheck,
      queue: queueCheck,
      embedding: ready ? 'ok' : `no worker of the tiers ${tiers.join(', ')} is ready`,
    };
    const ok = Object.values(checks).every((check) => check === 'ok');
    response.status(ok ? 200 : 503);
    if (!ok) response.set('Retry-After', '1');
    response.json({ status: ok ? 'ok' : 'unavailable', checks });
  };

async function probe(call: () => Promise<unknown>): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer within ${PROBE_TIMEOUT_MS} ms`), PROBE_TIMEOUT_MS);
  });
  const answer = call().then(
    () => 'ok',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  const result = await Promise.race([answer, late]);
  clearTimeout(timer);
  return result;
}

/** GET /metrics */
export const metricsHandler =
  ({ registry, workers: gauge }: GatewayMetrics, { workers }: ClusterParts): Handler =>
  async (_request, response) => {
    gauge.reset();
    for (const { tier, state } of workers.living()) gauge.inc({ tier, state });
    response.set('Content-Type', registry.contentType).send(await registry.metrics());
  };
