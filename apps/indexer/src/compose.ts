import type { StoreChoice } from '@embergate/contracts/settings.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { createChunker } from '@embergate/ingestion/chunk.ts';
import { chunkCharsFor } from '@embergate/ingestion/chunk-size.ts';
import { sweep } from '@embergate/ingestion/sweep.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer } from '@embergate/models/tokenizer.ts';
import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { DemandLedger } from '@embergate/queue/demand.ts';
import { EmbedSender } from '@embergate/queue/embed-sender.ts';
import { HeartbeatWatch } from '@embergate/queue/heartbeats.ts';
import { IndexReceiver } from '@embergate/queue/index-receiver.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { BulkEmbedder } from './bulk-embedder.ts';
import { removeOldClones, type CloneLimits } from './git.ts';
import { indexJobHandler } from './index-job.ts';

export interface IndexerParts {
  log: Logger;
  lifecycle: Lifecycle;
  redisUrl: string;
  store: StoreChoice;
  model: string;
  modelDir: string;
  catalogFile: string | undefined;
  /** Fewer than the model makes. */
  dimensions: number | undefined;
  tiers: readonly TierName[];
  /** Where git sources are cloned to, and removed from again. */
  clonesDir: string;
  cloneLimits: CloneLimits;
  /** Index jobs at a time. They share the bulk lane; more of them share it in smaller pieces. */
  concurrency: number;
  /** Of imported vectors and a worker's own, as the workers' ALIGNMENT_MIN_COSINE. */
  minCosine: number;
}

/** Of LanceDB. Who writes reads little of it twice. */
const WRITER_CACHES = { indexBytes: 32n * 1024n * 1024n, metadataBytes: 16n * 1024n * 1024n };
const SWEEP_INTERVAL_MS = 30_000;

/** Starts an indexer: it takes jobs at once, and waits inside a job for a worker that embeds. */
export async function composeIndexer(parts: IndexerParts): Promise<void> {
  const { log, lifecycle, tiers, clonesDir } = parts;
  const model = await findModel(parts.model, {
    modelDir: parts.modelDir,
    catalogFile: parts.catalogFile,
    dimensions: parts.dimensions,
  });
  const tokenizer = await loadTokenizer(model.tokenizerPath, { maxTokens: model.maxTokens });
  const redis = await connectRedis({ url: parts.redisUrl, patience: 'patient', log });
  lifecycle.onClose('redis', () => redis.disconnect());
  const clock = new RedisClock(redis);
  await clock.start();
  lifecycle.onClose('clock', () => clock.stop());
  const sender = new EmbedSender(redis, clock, log);
  lifecycle.onClose('embed sender', () => sender.close());
  const workers = new HeartbeatWatch(redis, clock, log);
  await workers.start();
  lifecycle.onClose('heartbeats', () => workers.stop());
  const store = await openStore(parts.store);
  lifecycle.onClose('store', () => store.close());
  const chunker = await createChunker({ maxChars: chunkCharsFor(model.maxTokens) });
  lifecycle.onClose('chunker', () => chunker.close());

  const ledger = new DemandLedger(redis, clock, spaceId(model.space));
  const onMissed = (tier: TierName): void => ledger.wantBulk(tier);
  const embedder = new BulkEmbedder({ transport: sender, workers, space: model.space, tiers, onMissed, log });
  const handler = indexJobHandler({
    log,
    clonesDir,
    cloneLimits: parts.cloneLimits,
    chunker,
    embedder,
    tiers,
    minCosine: parts.minCosine,
    workers,
    space: model.space,
    lastKnownFit: (tier) => ledger.lastKnownFit(tier),
    run: {
      store,
      space: model.space,
      tokenize: (text) => tokenizer.encode(model.space.prompts.document + text).ids,
    },
  });
  const receiver = new IndexReceiver({ redis, concurrency: parts.concurrency, handler, log });
  lifecycle.onClose('index queue', () => receiver.close());
  sweepRegularly(parts, store);
  await removeOldClones(clonesDir).catch((error: unknown) => {
    log.warn({ err: error }, 'old clones could not be removed');
  });
}

function sweepRegularly({ log, lifecycle }: IndexerParts, store: VectorStore): void {
  let sweeping = false;
  const sweepOnce = async (): Promise<void> => {
    if (sweeping) return;
    sweeping = true;
    try {
      await sweep(store, Date.now());
    } catch (error) {
      log.warn({ err: error }, 'sweep failed');
    } finally {
      sweeping = false;
    }
  };
  const sweeper = setInterval(() => void sweepOnce(), SWEEP_INTERVAL_MS);
  lifecycle.onClose('sweeper', () => clearInterval(sweeper));
}

/** Only the adapter in use is loaded: each brings a client or a native library of its own. */
async function openStore(choice: StoreChoice): Promise<VectorStore> {
  if (choice.kind === 'lancedb') {
    const { createLanceDbStore } = await import('@embergate/vector-store-lancedb/lancedb-store.ts');
    const { createRenewedStore } = await import('@embergate/vector-store-lancedb/renewed-store.ts');
    return createRenewedStore(() => createLanceDbStore({ path: choice.path, caches: WRITER_CACHES }));
  }
  const { createQdrantStore } = await import('@embergate/vector-store-qdrant/qdrant-store.ts');
  return createQdrantStore({ url: choice.url, apiKey: choice.apiKey });
}
