import { AppError } from '@embergate/contracts/errors.ts';
import type { Degradation } from '@embergate/contracts/http-search.ts';
import { openApiDocument } from '@embergate/contracts/openapi.ts';
import type { StoreChoice } from '@embergate/contracts/settings.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { BulkTransport } from '@embergate/embedding/bulk-transport.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer } from '@embergate/models/tokenizer.ts';
import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { Admissions } from '@embergate/queue/admissions.ts';
import { AlignmentReferences } from '@embergate/queue/alignment-references.ts';
import { BreakerRecords } from '@embergate/queue/breaker-records.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { DemandLedger } from '@embergate/queue/demand.ts';
import { EmbedSender } from '@embergate/queue/embed-sender.ts';
import { HeartbeatWatch } from '@embergate/queue/heartbeats.ts';
import { IndexQueue } from '@embergate/queue/index-queue.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import { VectorCache } from '@embergate/queue/vector-cache.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { whyNot } from '@embergate/routing/decision.ts';
import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createApp } from './app.ts';
import { Coalescer } from './coalescer.ts';
import { Embedder } from './embedder.ts';
import { loadApiKeys } from './http/auth.ts';
import { isLoopback } from './http/guard.ts';
import { createGatewayMetrics, createTierGauges } from './metrics.ts';
import type { DemandCounts } from './ports.ts';
import { QueryCache } from './query-cache.ts';
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
import { TextTokens } from './text-tokens.ts';
import { AlignmentSource } from './tiers/alignment-source.ts';
import { canaryProbe, CANARY_TEXT } from './tiers/canary.ts';
import { ClusterStatus } from './tiers/cluster-status.ts';
import { HedgeBudget } from './tiers/hedge-budget.ts';
import { QueryRouter } from './tiers/query-router.ts';
import { TierBoard } from './tiers/tier-board.ts';
import { TierBreakers } from './tiers/tier-breakers.ts';

export interface GatewayParts {
  log: Logger;
  lifecycle: Lifecycle;
  version: string;
  host: string;
  port: number;
  redisUrl: string;
  store: StoreChoice;
  model: string;
  modelDir: string;
  catalogFile: string | undefined;
  /** Fewer than the model makes. */
  dimensions: number | undefined;
  tiers: readonly TierName[];
  queryDeadlineMs: number;
  hedgePercent: number;
  degradation: Degradation;
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
  const model = await findModel(parts.model, {
    modelDir: parts.modelDir,
    catalogFile: parts.catalogFile,
    dimensions: parts.dimensions,
  });
  const tokenizer = await loadTokenizer(model.tokenizerPath, { maxTokens: model.maxTokens });

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

  const [firstTier] = tiers as [TierName];
  const metrics = createGatewayMetrics();
  const space = spaceId(model.space);
  const admissions = new Admissions(redis, space);
  const board = new TierBoard({ tiers, space, workers, admissions, clock });
  const breakerRecords = new BreakerRecords(redis, space, () => void board.refresh().catch(() => undefined));
  lifecycle.onClose('breaker records', () => breakerRecords.close());
  const texts = new TextTokens(model, tokenizer);
  const { inputs, prompted } = texts.encode([CANARY_TEXT], 'query');
  const canary = { ids: inputs[0] as Uint32Array, text: prompted[0] as string };
  const breakers = new TierBreakers({
    gatewayId: randomUUID(),
    board,
    store: breakerRecords,
    clock,
    probe: canaryProbe({ admissions, transport: sender, space, canary }),
    log,
  });
  breakers.start();
  lifecycle.onClose('breakers', () => breakers.stop());
  const alignment = new AlignmentSource({
    store,
    references: new AlignmentReferences(redis),
    space: model.space,
    texts,
    log,
  });
  alignment.start();
  lifecycle.onClose('alignment source', () => alignment.stop());
  const ledger = new DemandLedger(redis, clock, space);
  const demand: DemandCounts = {
    record: (tier, tokens) => {
      metrics.demandTokens.inc({ tier }, tokens);
      ledger.record(tier, tokens);
    },
    flush: () => ledger.flush(),
    read: (tier) => ledger.read(tier),
    wantBulk: (tier) => ledger.wantBulk(tier),
    isBulkWanted: (tier) => ledger.isBulkWanted(tier),
    lastKnownFit: (tier) => ledger.lastKnownFit(tier),
  };
  const router = new QueryRouter({
    space,
    board,
    admissions,
    breakers,
    transport: sender,
    demand,
    isQueueKnown: () => workers.isKnown(),
    hedges: new HedgeBudget(parts.hedgePercent),
    onAttempt: (tier, outcome) => metrics.embedRequests.inc({ tier, outcome }),
  });
  const cache = new QueryCache({
    shared: new VectorCache(redis, log),
    firstTier,
    onLookup: (layer) => metrics.cacheLookups.inc({ layer }),
  });
  const whyNotFirst = (): string => `${firstTier}_${whyNot(board.view(firstTier), {})}`;
  const bulkTo = (wanted: readonly TierName[]): BulkTransport => {
    const onMissed = (tier: TierName): void => demand.wantBulk(tier);
    return new BulkTransport({
      transport: sender,
      workers,
      space,
      tiers: wanted,
      onMissed,
      whyNone: whyNotFirst,
    });
  };
  const embedder = new Embedder({
    model,
    tiers,
    texts,
    cache,
    inFlight: new Coalescer(),
    router,
    bulk: bulkTo(tiers),
    bulkToFirst: bulkTo([firstTier]),
    whyNotFirst,
    isQueueKnown: () => workers.isKnown(),
    metrics,
  });
  const { queryDeadlineMs } = parts;
  const cluster = new ClusterStatus({
    space,
    store: store.name,
    board,
    workers,
    lanes: sender,
    demand,
    queryDeadlineMs,
    log,
  });
  await cluster.start();
  lifecycle.onClose('cluster status', () => cluster.stop());
  const gauges = createTierGauges(metrics.registry);
  const defaults = { deadlineMs: parts.queryDeadlineMs, degradation: parts.degradation };
  const openApi = openApiDocument(parts.version);
  const closing = new AbortController();
  const app = createApp({
    keys,
    log,
    handlers: {
      search: searchHandler({ store, embedder, defaults }, metrics),
      embeddings: embeddingsHandler({ embedder, model, defaults, metrics }),
      models: modelsHandler(embedder, model),
      createIndexJob: createIndexJobHandler(indexJobs, { indexRoots: parts.indexRoots, space }),
      listIndexJobs: listIndexJobsHandler(indexJobs),
      getIndexJob: getIndexJobHandler(indexJobs),
      watchIndexJob: watchIndexJobHandler(indexJobs, closing.signal),
      cancelIndexJob: cancelIndexJobHandler(indexJobs),
      listCollections: listCollectionsHandler(store),
      getCollection: getCollectionHandler(store),
      deleteCollection: deleteCollectionHandler(store),
      cluster: clusterHandler(cluster),
      clusterEvents: clusterEventsHandler(cluster, closing.signal),
      livez: livezHandler,
      readyz: readyzHandler({ tiers, space, workers, store }, () => redis.ping()),
      metrics: metricsHandler(metrics, gauges, cluster),
      openapi: (_request, response) => response.json(openApi),
    },
  });
  const server = createServer(app);
  await listen(server, parts);
  lifecycle.onClose('http', () => closeServer(server));
  lifecycle.onClose('event streams', () => closing.abort());
  const { port } = server.address() as AddressInfo;
  const url = `http://${parts.host.includes(':') ? `[${parts.host}]` : parts.host}:${port}`;
  log.info({ url, tiers, store: store.name, space: embedder.space }, 'gateway ready');
  return { url };
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
  const { createQdrantStore } = await import('@embergate/vector-store-qdrant/qdrant-store.ts');
  return createQdrantStore({ url: choice.url, apiKey: choice.apiKey });
}
