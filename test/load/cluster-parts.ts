import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { defaultModelDir } from '@embergate/models/installed-model.ts';
import { ensureModel } from '@embergate/models/prepare.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { startRedisServer } from '@embergate/queue/redis-server.ts';
import type { StartRedis } from '@embergate/testing/kept-redis.ts';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import { obtainRedisServer } from '../../apps/cli/src/up/valkey.ts';

/** What a cluster of real processes needs on this machine: the default model, and a Redis or Valkey to start. */
export async function clusterParts(): Promise<{ modelDir: string; startRedis: StartRedis }> {
  const modelDir =
    process.env['MODEL_DIR'] ?? defaultModelDir({ home: homedir(), platform: process.platform });
  await ensureModel(DEFAULT_MODEL, { modelDir });
  const binary = await obtainRedisServer({
    path: process.env['PATH'],
    cacheDir: dirname(modelDir),
    signal: AbortSignal.timeout(300_000),
    onFetch: () => undefined,
  });
  const log = createLogger('bench', 'silent');
  return { modelDir, startRedis: (where) => startRedisServer({ ...where, binary, log }) };
}
