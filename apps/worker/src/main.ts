import {
  laterSettings,
  logSettings,
  modelSettings,
  redisSettings,
  workerSettings,
} from '@embergate/contracts/settings.ts';
import { defaultModelDir } from '@embergate/models/installed-model.ts';
import { loadConfig } from '@embergate/platform/config.ts';
import { runProcess } from '@embergate/platform/process.ts';
import { homedir } from 'node:os';
import { z } from 'zod';
import { composeRemoteWorker } from './compose-remote.ts';
import { composeWorker } from './compose.ts';

const settings = z.object({
  ...logSettings,
  ...laterSettings,
  ...redisSettings,
  ...modelSettings,
  ...workerSettings,
});

await runProcess({
  name: 'worker',
  config: () => loadConfig(settings, process.env),
  start: (config, { lifecycle, log }) => {
    const parts = {
      log,
      lifecycle,
      redisUrl: config.REDIS_URL,
      model: config.EMBEDDING_MODEL,
      variant: config.EMBEDDING_VARIANT,
      catalogFile: config.MODEL_CATALOG,
      dimensions: config.EMBEDDING_DIMENSIONS,
      modelDir: config.MODEL_DIR ?? defaultModelDir({ home: homedir(), platform: process.platform }),
      alignmentFloors: { cosine: config.ALIGNMENT_MIN_COSINE, overlap: config.ALIGNMENT_MIN_OVERLAP },
    };
    if (config.WORKER_TIER !== 'remote') {
      return composeWorker({
        ...parts,
        tier: config.WORKER_TIER,
        device: config.EMBEDDING_DEVICE,
        bulkProcesses: config.BULK_PROCESSES,
      });
    }
    return composeRemoteWorker({
      ...parts,
      url: config.REMOTE_EMBEDDING_URL,
      apiKey: config.REMOTE_EMBEDDING_API_KEY,
      apiModel: config.REMOTE_EMBEDDING_MODEL,
    });
  },
});
