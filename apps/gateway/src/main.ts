import { chooseReranker } from '@embergate/contracts/reranker-choice.ts';
import {
  chooseStore,
  gatewaySettings,
  laterSettings,
  logSettings,
  modelSettings,
  redisSettings,
  rerankSettings,
  storeSettings,
} from '@embergate/contracts/settings.ts';
import { defaultModelDir } from '@embergate/models/installed-model.ts';
import { loadConfig } from '@embergate/platform/config.ts';
import { runProcess } from '@embergate/platform/process.ts';
import { homedir } from 'node:os';
import { delimiter, resolve } from 'node:path';
import { z } from 'zod';
import { composeGateway } from './compose.ts';
import { isLoopback } from './http/guard.ts';
import packageJson from '../package.json' with { type: 'json' };

const settings = z.object({
  ...logSettings,
  ...laterSettings,
  ...redisSettings,
  ...storeSettings,
  ...modelSettings,
  ...gatewaySettings,
  ...rerankSettings,
});

await runProcess({
  name: 'gateway',
  config: () => loadConfig(settings, process.env),
  start: (config, { lifecycle, log }) =>
    composeGateway({
      log,
      lifecycle,
      version: packageJson.version,
      host: config.GATEWAY_HOST,
      port: config.GATEWAY_PORT,
      redisUrl: config.REDIS_URL,
      store: chooseStore(config),
      model: config.EMBEDDING_MODEL,
      catalogFile: config.MODEL_CATALOG,
      dimensions: config.EMBEDDING_DIMENSIONS,
      modelDir: config.MODEL_DIR ?? defaultModelDir({ home: homedir(), platform: process.platform }),
      tiers: config.EMBEDDING_TIERS,
      otherModels: config.OTHER_EMBEDDING_MODELS,
      queryDeadlineMs: config.QUERY_DEADLINE_MS,
      hedgePercent: config.QUERY_HEDGE_PERCENT,
      degradation: config.DEGRADATION,
      reranker: chooseReranker(config),
      indexRoots: indexRoots(
        config.INDEX_ROOTS,
        isLoopback(config.GATEWAY_HOST) && config.API_KEYS_FILE === undefined,
      ),
      apiKeysFile: config.API_KEYS_FILE,
    }),
});

/** On loopback without keys the caller is the user of this machine; otherwise nothing may be read unless it is named. */
function indexRoots(setting: string | undefined, trusted: boolean): string[] {
  if (setting !== undefined)
    return setting
      .split(delimiter)
      .filter(Boolean)
      .map((root) => resolve(root));
  return trusted ? [homedir(), process.cwd()] : [];
}
