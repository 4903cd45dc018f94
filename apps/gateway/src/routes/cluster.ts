import type { Cluster } from '@embergate/contracts/http-cluster.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { WorkerView } from '@embergate/embedding/transport.ts';
import { withTimeout } from '@embergate/platform/with-timeout.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import type { Handler } from '../app.ts';
import { sendEvents } from '../http/sse.ts';
import type { GatewayMetrics } from '../metrics.ts';

export interface ReadinessParts {
  tiers: readonly TierName[];
  /** Of the first space. */
  id: string;
  workers: WorkerView;
  store: VectorStore;
}

const EVENT_INTERVAL_MS = 1_000;
const PROBE_TIMEOUT_MS = 2_000;

export const clusterHandler =
  (describe: () => Promise<Cluster>): Handler =>
  async (_request, response) => {
    response.json(await describe());
  };

export const clusterEventsHandler =
  (describe: () => Promise<Cluster>, closing: AbortSignal): Handler =>
  async (_request, response) => {
    const next = async () => ({ data: await describe(), last: false });
    await sendEvents(response, { event: 'cluster', everyMs: EVENT_INTERVAL_MS, closing, next });
  };

export const livezHandler: Handler = (_request, response) => response.json({ status: 'ok' });

/** GET /readyz: 200 when a search can be answered in full now, vectors included; else 503 with each check's reason. */
export const readyzHandler =
  ({ tiers, id: space, workers, store }: ReadinessParts, pingQueue: () => Promise<unknown>): Handler =>
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
  const late = (): Error => new Error(`no answer within ${PROBE_TIMEOUT_MS} ms`);
  return withTimeout(call(), PROBE_TIMEOUT_MS, late).then(
    () => 'ok',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

/** GET /metrics */
export const metricsHandler =
  ({ registry }: GatewayMetrics, fillGauges: () => void): Handler =>
  async (_request, response) => {
    fillGauges();
    response.set('Content-Type', registry.contentType).send(await registry.metrics());
  };
