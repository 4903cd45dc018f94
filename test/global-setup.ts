import { defaultModelDir } from '@embergate/models/installed-model.ts';
import { ensureModel } from '@embergate/models/prepare.ts';
import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import type { TestProject } from 'vitest/node';
import { obtainRedisServer } from '../apps/cli/src/up/valkey.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Path of a real Redis or Valkey server. */
    redisServer: string;
    /** Where the default model is, built and verified. */
    modelDir: string;
  }
}

/** Fetches once what all tests share, so that no test times out on a download. */
export default async function setup({ provide }: TestProject): Promise<void> {
  const modelDir =
    process.env['MODEL_DIR'] ?? defaultModelDir({ home: homedir(), platform: process.platform });
  await ensureModel(DEFAULT_MODEL, { modelDir });
  const redisServer = await obtainRedisServer({
    path: process.env['PATH'],
    cacheDir: dirname(modelDir),
    signal: AbortSignal.timeout(300_000),
    onFetch: () => undefined,
  });
  provide('modelDir', modelDir);
  provide('redisServer', redisServer);
}
