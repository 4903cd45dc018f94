import { spaceId } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { createChunker } from '@embergate/ingestion/chunk.ts';
import { chunkCharsFor } from '@embergate/ingestion/chunk-size.ts';
import type { SpanCache } from '@embergate/ingestion/span-cache.ts';
import { weightsIn } from '@embergate/models/disk-space.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer } from '@embergate/models/tokenizer.ts';
import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import type { Redis } from '@embergate/queue/connection.ts';
import { DemandLedger } from '@embergate/queue/demand.ts';
import type { EmbedSender } from '@embergate/queue/embed-sender.ts';
import type { HeartbeatWatch } from '@embergate/queue/heartbeats.ts';
import type { RedisClock } from '@embergate/queue/redis-clock.ts';
import { BulkEmbedder } from './bulk-embedder.ts';
import type { IndexedSpace } from './indexed-spaces.ts';

/** What all spaces of an indexer share. */
export interface SharedParts {
  log: Logger;
  lifecycle: Lifecycle;
  redis: Redis;
  clock: RedisClock;
  sender: EmbedSender;
  workers: HeartbeatWatch;
  modelDir: string;
  catalogFile: string | undefined;
  /** UTF-16 code units of a chunk at most; undefined: as many as suit each model. */
  chunkMaxChars: number | undefined;
  spanCache: SpanCache;
}

interface SpaceModel {
  model: string;
  /** Fewer than the model makes. */
  dimensions: number | undefined;
  tiers: readonly TierName[];
}

/** Makes ready what cuts and embeds code for one model. Errors: those of the model. */
export async function composeSpace(
  {
    log,
    lifecycle,
    redis,
    clock,
    sender,
    workers,
    modelDir,
    catalogFile,
    chunkMaxChars,
    spanCache,
  }: SharedParts,
  { model: name, dimensions, tiers }: SpaceModel,
): Promise<IndexedSpace> {
  const model = await findModel(name, { modelDir, catalogFile, dimensions });
  const { space, maxTokens, tokenizerPath } = model;
  const tokenizer = await loadTokenizer(tokenizerPath, { maxTokens });
  const chunker = await createChunker({
    maxChars: chunkCharsFor(maxTokens, chunkMaxChars),
    cache: spanCache,
  });
  lifecycle.onClose('chunker', () => chunker.close());
  const ledger = new DemandLedger(redis, clock, spaceId(space));
  const onMissed = (tier: TierName): void => ledger.wantBulk(tier);
  const embedder = new BulkEmbedder({ transport: sender, workers, space, tiers, onMissed, log });
  return {
    space,
    chunker,
    tiers,
    tokenize: (text) => tokenizer.encode(space.prompts.document + text).ids,
    embedder,
    lastKnownFit: (tier) => ledger.lastKnownFit(tier),
    weights: weightsIn(model),
  };
}
