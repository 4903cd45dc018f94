import type { ServedModel } from '@embergate/contracts/served-models.ts';
import type { QdrantChoice, StoreChoice } from '@embergate/contracts/settings.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { SpanCache } from '@embergate/ingestion/span-cache.ts';
import { abandonOrphans, sweep, sweepSuccessors } from '@embergate/ingestion/sweep.ts';
import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { EmbedSender } from '@embergate/queue/embed-sender.ts';
import { HeartbeatWatch } from '@embergate/queue/heartbeats.ts';
import { IndexQueue } from '@embergate/queue/index-queue.ts';
import { IndexReceiver } from '@embergate/queue/index-receiver.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import type { ForeignCollections } from '@embergate/vector-store/foreign-collections.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { composeSpace } from './compose-space.ts';
import { removeOldClones, type CloneLimits } from './git.ts';
import { indexJobHandler } from './index-job.ts';
import { IndexedSpaces, type IndexedSpace } from './indexed-spaces.ts';

export interface IndexerParts {
  log: Logger;
  lifecycle: Lifecycle;
  redisUrl: string;
  store: StoreChoice;
  /** Whose collections can be adopted. */
  qdrant: QdrantChoice | null;
  model: string;
  modelDir: string;
  catalogFile: string | undefined;
  chunkMaxChars: number | undefined;
  /** Fewer than the model makes. */
  dimensions: number | undefined;
  tiers: readonly TierName[];
  otherModels: readonly ServedModel[];
  /** Where git sources are cloned to, and removed from again. */
  clonesDir: string;
  /** Where files were cut is remembered here. */
  spanCacheFile: string;
  cloneLimits: CloneLimits;
  /** Index jobs at a time. They share the bulk lane; more of them share it in smaller pieces. */
  concurrency: number;
  /** Of imported vectors and a worker's own, as the workers' ALIGNMENT_MIN_COSINE. */
  minCosine: number;
}

/** Of LanceDB. Who writes looks up ids and hashes all over the table, and reads little twice: with more, nothing is faster (docs/benchmarks.md, "Memory"). */
const WRITER_CACHES = { indexBytes: 16n * 1024n * 1024n, metadataBytes: 4n * 1024n * 1024n };
const SWEEP_INTERVAL_MS = 30_000;

/** Starts an indexer: it takes jobs at once, and waits inside a job for a worker that embeds. */
export async function composeIndexer(parts: IndexerParts): Promise<void> {
  const { log, lifecycle, clonesDir } = parts;
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
  const spanCache = SpanCache.open(parts.spanCacheFile, {
    onFailure: (error) =>
      log.warn({ err: error }, 'the cache of parsed files is not used: all files are parsed'),
  });
  lifecycle.onClose('span cache', () => spanCache.close());
  const shared = { ...parts, redis, clock, sender, workers, spanCache };
  const spaces: IndexedSpace[] = [];
  for (const one of [parts, ...parts.otherModels]) spaces.push(await composeSpace(shared, one));
  const handler = indexJobHandler({
    log,
    clonesDir,
    store,
    foreign: await openForeign(parts.qdrant),
    spaces: new IndexedSpaces(spaces as [IndexedSpace, ...IndexedSpace[]]),
    cloneLimits: parts.cloneLimits,
    minCosine: parts.minCosine,
    workers,
  });
  const receiver = new IndexReceiver({ redis, concurrency: parts.concurrency, handler, log });
  lifecycle.onClose('index queue', () => receiver.close());
  const jobs = new IndexQueue(redis);
  lifecycle.onClose('index jobs', () => jobs.close());
  sweepRegularly(parts, { store, jobs });
}

function sweepRegularly(
  { log, lifecycle, clonesDir }: IndexerParts,
  { store, jobs }: { store: VectorStore; jobs: IndexQueue },
): void {
  const isUnended = (jobId: string): Promise<boolean> => jobs.isUnended(jobId);
  const steps = [
    () => sweep(store, Date.now()),
    () => sweepSuccessors(store, isUnended),
    () => abandonOrphans(store, isUnended),
    () => removeOldClones(clonesDir, isUnended),
  ];
  let sweeping = false;
  const sweepOnce = async (): Promise<void> => {
    if (sweeping) return;
    sweeping = true;
    for (const step of steps)
      await step().catch((error: unknown) => log.warn({ err: error }, 'sweep failed'));
    sweeping = false;
  };
  const sweeper = setInterval(() => void sweepOnce(), SWEEP_INTERVAL_MS);
  lifecycle.onClose('sweeper', () => clearInterval(sweeper));
}

/** Only the adapter in use is loaded: each brings a client or a native library of its own. */
async function openStore(choice: StoreChoice): Promise<VectorStore> {
  if (choice.kind === 'lancedb') {
    const { createLanceDbStore } = await import('@embergate/vector-store-lancedb/lancedb-store.ts');
    return createLanceDbStore({ path: choice.path, caches: WRITER_CACHES });
  }
  const { openQdrantStore } = await import('@embergate/vector-store-qdrant/qdrant-store.ts');
  return openQdrantStore(choice);
}

async function openForeign(qdrant: QdrantChoice | null): Promise<ForeignCollections | null> {
  if (qdrant === null) return null;
  const { createForeignCollections } = await import('@embergate/vector-store-qdrant/foreign-collections.ts');
  return createForeignCollections(qdrant);
}
