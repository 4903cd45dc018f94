import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { isEnded } from '@embergate/contracts/index-job.ts';
import { defaultModelDir } from '@embergate/models/installed-model.ts';
import { ensureModel } from '@embergate/models/prepare.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { startRedisServer } from '@embergate/queue/redis-server.ts';
import type { RunningCluster } from '@embergate/testing/running-cluster.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeFiles } from '@embergate/testing/sample-project.ts';
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

/** Something to search in, where only the way there counts. */
export async function indexTinyFolder({ clients: [client] }: RunningCluster): Promise<void> {
  const source = await temporaryFolder('tiny');
  try {
    await writeFiles(source.path, {
      'one.py': 'def one():\n    return 1\n',
      'two.py': 'def two():\n    return 2\n',
    });
    const job = await client?.createIndexJob({
      source: { type: 'directory', path: source.path },
      repo: 'tiny',
    });
    for await (const { state } of client?.watchIndexJob(job?.id ?? '') ?? [])
      if (isEnded(state) && state !== 'completed') throw new Error(`the index job is ${state}`);
  } finally {
    await source.remove();
  }
}
