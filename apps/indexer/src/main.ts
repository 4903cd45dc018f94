import {
  chooseQdrant,
  chooseStore,
  gatewaySettings,
  indexerSettings,
  laterSettings,
  logSettings,
  modelSettings,
  redisSettings,
  storeSettings,
  workerSettings,
} from '@embergate/contracts/settings.ts';
import { defaultModelDir } from '@embergate/models/installed-model.ts';
import { runInBackground } from '@embergate/platform/background-priority.ts';
import { loadConfig } from '@embergate/platform/config.ts';
import { runProcess } from '@embergate/platform/process.ts';
import { keepHeapSmall } from '@embergate/platform/small-heap.ts';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { composeIndexer } from './compose.ts';

const { EMBEDDING_TIERS, OTHER_EMBEDDING_MODELS } = gatewaySettings;
const { ALIGNMENT_MIN_COSINE } = workerSettings;
const settings = z.object({
  ...logSettings,
  ...laterSettings,
  ...redisSettings,
  ...storeSettings,
  ...modelSettings,
  ...indexerSettings,
  EMBEDDING_TIERS,
  OTHER_EMBEDDING_MODELS,
  ALIGNMENT_MIN_COSINE,
});

await runProcess({
  name: 'indexer',
  config: () => loadConfig(settings, process.env),
  start: async (config, { lifecycle, log }) => {
    keepHeapSmall();
    await runInBackground();
    await composeIndexer({
      log,
      lifecycle,
      redisUrl: config.REDIS_URL,
      store: chooseStore(config),
      qdrant: chooseQdrant(config),
      model: config.EMBEDDING_MODEL,
      catalogFile: config.MODEL_CATALOG,
      dimensions: config.EMBEDDING_DIMENSIONS,
      modelDir: config.MODEL_DIR ?? defaultModelDir({ home: homedir(), platform: process.platform }),
      tiers: config.EMBEDDING_TIERS,
      otherModels: config.OTHER_EMBEDDING_MODELS,
      concurrency: config.INDEX_CONCURRENCY,
      chunkMaxChars: config.CHUNK_MAX_CHARS,
      cloneLimits: { megabytes: config.GIT_CLONE_MAX_MB, seconds: config.GIT_CLONE_TIMEOUT_S },
      minCosine: config.ALIGNMENT_MIN_COSINE,
      clonesDir: join(config.DATA_DIR, 'clones'),
      spanCacheFile: join(config.DATA_DIR, 'span-cache.sqlite'),
    });
  },
});
