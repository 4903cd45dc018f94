import { AppError } from '@embergate/contracts/errors.ts';
import type { Cluster } from '@embergate/contracts/http-cluster.ts';
import type { Degradation } from '@embergate/contracts/http-search.ts';
import { openApiDocument } from '@embergate/contracts/openapi.ts';
import type { RerankerChoice } from '@embergate/contracts/reranker-choice.ts';
import type { ServedModel } from '@embergate/contracts/served-models.ts';
import type { QdrantChoice, StoreChoice } from '@embergate/contracts/settings.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { findModel, servedName, type InstalledModel } from '@embergate/models/installed-model.ts';
import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { EmbedSender } from '@embergate/queue/embed-sender.ts';
import { HeartbeatWatch } from '@embergate/queue/heartbeats.ts';
import { IndexQueue } from '@embergate/queue/index-queue.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import type { ForeignCollections } from '@embergate/vector-store/foreign-collections.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createApp } from './app.ts';
import { composeRerank } from './compose-rerank.ts';
import { composeSpace } from './compose-space.ts';
import { loadApiKeys } from './http/auth.ts';
import { isLoopback } from './http/guard.ts';
import { createGatewayMetrics, createTierGauges } from './metrics.ts';
import { adoptCollectionHandler, previewAdoptionHandler } from './routes/adoption.ts';
import {
  clusterEventsHandler,
  clusterHandler,
  livezHandler,
  metricsHandler,
  readyzHandler,
} from './routes/cluster.ts';
import {
  deleteCollectionHandler,
  getCollectionHandler,
  listCollectionsHandler,
} from './routes/collections.ts';
import { embeddingsHandler, modelsHandler } from './routes/embeddings.ts';
import {
  cancelIndexJobHandler,
  createIndexJobHandler,
  getIndexJobHandler,
  listIndexJobsHandler,
  watchIndexJobHandler,
} from './routes/index-jobs.ts';
import { searchHandler } from './routes/search.ts';
import { ServedSpaces, type ServedSpace } from './served-spaces.ts';

export interface GatewayParts {
  log: Logger;
  lifecycle: Lifecycle;
  version: string;
  host: string;
  port: number;
  redisUrl: string;
  store: StoreChoice;
  /** Whose collections can be adopted. */
  qdrant: QdrantChoice | null;
  model: string;
  modelDir: string;
  catalogFile: string | undefined;
  /** Fewer than the model makes. */
  dimensions: number | undefined;
  tiers: readonly TierName[];
  otherModels: readonly ServedModel[];
  queryDeadlineMs: number;
  hedgePercent: number;
  degradation: Degradation;
  /** Null: none. */
  reranker: RerankerChoice | null;
  indexRoots: readonly string[];
  /** Of ended index jobs. */
  keptJobs: { count: number; days: number };
  apiKeysFile: string | undefined;
}

/** Starts a gateway; it listens when everything it needs has answered once. */
export async function composeGateway(parts: GatewayParts): Promise<{ url: string }> {
  const { log, lifecycle, tiers } = parts;
  if (!isLoopback(parts.host) && parts.apiKeysFile === undefined) {
    throw new AppError(
      'config_invalid',
      `GATEWAY_HOST is "${parts.host}": beyond loopback the gateway listens only with API keys. Set API_KEYS_FILE, or GATEWAY_HOST=127.0.0.1.`,
    );
  }
  const keys = parts.apiKeysFile === undefined ? null : await loadApiKeys(parts.apiKeysFile);
  const models = await findModels(parts);

  const redis = await connectRedis({ url: parts.redisUrl, patience: 'fail-fast', log });
  lifecycle.onClose('redis', () => redis.disconnect());
  const clock = new RedisClock(redis);
  await clock.start();
  lifecycle.onClose('clock', () => clock.stop());
  const sender = new EmbedSender(redis, clock, log);
  lifecycle.onClose('embed sender', () => sender.close());
  const indexJobs = new IndexQueue(redis, parts.keptJobs);
  lifecycle.onClose('index queue', () => indexJobs.close());
  const workers = new HeartbeatWatch(redis, clock, log);
  await workers.start();
  lifecycle.onClose('heartbeats', () => workers.stop());

  const store = await openStore(parts.store);
  lifecycle.onClose('store', () => store.close());

  const metrics = createGatewayMetrics();
  const { reranker: choice, modelDir, catalogFile } = parts;
  const rerank = await composeRerank({ choice, modelDir, catalogFile, log, lifecycle, metrics });
  const shared = { ...parts, redis, clock, sender, workers, store, metrics };
  const served: ServedSpace[] = [];
  for (const [index, one] of models.entries())
    served.push(await composeSpace(shared, { ...one, isFirst: index === 0 }));
  const spaces = new ServedSpaces(served as [ServedSpace, ...ServedSpace[]]);
  const gauges = createTierGauges(metrics.registry);
  const defaults = { deadlineMs: parts.queryDeadlineMs, degradation: parts.degradation };
  const openApi = openApiDocument(parts.version);
  const adoption = { foreign: await openForeign(parts.qdrant), spaces, store };
  const closing = new AbortController();
  const describeCluster = (): Promise<Cluster> => spaces.describe(store.name);
  const app = createApp({
    keys,
    log,
    handlers: {
      search: searchHandler({ store, embedder: spaces, rerank, defaults }, metrics),
      embeddings: embeddingsHandler({ spaces, defaults, metrics }),
      models: modelsHandler(spaces),
      createIndexJob: createIndexJobHandler({
        jobs: indexJobs,
        indexRoots: parts.indexRoots,
        spaces,
        store,
      }),
      listIndexJobs: listIndexJobsHandler(indexJobs),
      getIndexJob: getIndexJobHandler(indexJobs),
      watchIndexJob: watchIndexJobHandler(indexJobs, closing.signal),
      cancelIndexJob: cancelIndexJobHandler(indexJobs),
      listCollections: listCollectionsHandler(store),
      getCollection: getCollectionHandler(store),
      previewAdoption: previewAdoptionHandler(adoption),
      adoptCollection: adoptCollectionHandler(adoption, indexJobs),
      deleteCollection: deleteCollectionHandler(store, indexJobs),
      cluster: clusterHandler(describeCluster),
      clusterEvents: clusterEventsHandler(describeCluster, closing.signal),
      livez: livezHandler,
      readyz: readyzHandler({ ...spaces.first, workers, store }, () => redis.ping()),
      metrics: metricsHandler(metrics, () => spaces.fill(gauges)),
      openapi: (_request, response) => response.json(openApi),
    },
  });
  const server = createServer(app);
  await listen(server, parts);
  lifecycle.onClose('http', () => closeServer(server));
  lifecycle.onClose('event streams', () => closing.abort());
  const { port } = server.address() as AddressInfo;
  const url = `http://${parts.host.includes(':') ? `[${parts.host}]` : parts.host}:${port}`;
  log.info({ url, tiers, store: store.name, spaces: spaces.all.map(({ id }) => id) }, 'gateway ready');
  return { url };
}

/** That of EMBEDDING_MODEL first. */
async function findModels(
  parts: GatewayParts,
): Promise<{ model: InstalledModel; tiers: readonly TierName[] }[]> {
  const { modelDir, catalogFile, tiers } = parts;
  const find = (model: string, dimensions: number | undefined): Promise<InstalledModel> =>
    findModel(model, { modelDir, catalogFile, dimensions });
  const first = { model: await find(parts.model, parts.dimensions), tiers };
  const others = parts.otherModels.map(async ({ model: name, dimensions, tiers: own }) => {
    const model = await find(name, dimensions);
    return { model: { ...model, name: servedName(model.name, dimensions) }, tiers: own };
  });
  return [first, ...(await Promise.all(others))];
}

/** @throws AppError `port_in_use`. */
async function listen(server: Server, { host, port }: GatewayParts): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = new AppError(
        'port_in_use',
        `Port ${port} on ${host} is in use. Set GATEWAY_PORT to another one.`,
        { cause: error },
      );
      reject(error.code === 'EADDRINUSE' ? taken : error);
    });
    server.listen(port, host, resolve);
  });
}

/** Answers under way get a moment; what is kept alive or streamed is then cut. */
async function closeServer(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), 2_000);
  await closed;
  clearTimeout(cut);
}

/** Only the adapter in use is loaded: each brings a client or a native library of its own. */
async function openStore(choice: StoreChoice): Promise<VectorStore> {
  if (choice.kind === 'lancedb') {
    const { createLanceDbStore } = await import('@embergate/vector-store-lancedb/lancedb-store.ts');
    return createLanceDbStore({ path: choice.path });
  }
  const { openQdrantStore } = await import('@embergate/vector-store-qdrant/qdrant-store.ts');
  return openQdrantStore(choice);
}

async function openForeign(qdrant: QdrantChoice | null): Promise<ForeignCollections | null> {
  if (qdrant === null) return null;
  const { createForeignCollections } = await import('@embergate/vector-store-qdrant/foreign-collections.ts');
  return createForeignCollections(qdrant);
}
