import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { join } from 'node:path';
import pc from 'picocolors';
import type { CliContext } from '../context.ts';
import type { AppName } from './app-mains.ts';
import { assertPortFree } from './port.ts';
import { QueueServer } from './queue-server.ts';
import { Supervisor } from './supervisor.ts';
import { obtainRedisServer } from './valkey.ts';

export interface ServicesParts {
  context: CliContext;
  lifecycle: Lifecycle;
  dataDir: string;
  modelDir: string;
  cacheDir: string;
}

/** Starts the queue's server and one process of each app; they stop in reverse order. */
export async function startServices({
  context,
  lifecycle,
  dataDir,
  modelDir,
  cacheDir,
}: ServicesParts): Promise<{ url: string }> {
  const { config, signal } = context;
  const say = (message: string): void => void process.stderr.write(`${pc.dim(message)}\n`);
  // Before anything slow: a port in use is known at once.
  await assertPortFree(config.GATEWAY_HOST, config.GATEWAY_PORT);
  const redisUrl = config.REDIS_URL ?? (await startValkey());
  const env: NodeJS.ProcessEnv = {
    ...context.env,
    REDIS_URL: redisUrl,
    DATA_DIR: dataDir,
    MODEL_DIR: modelDir,
    WORKER_TIER: 'cpu',
  };
  const launch = async (name: AppName): Promise<Record<string, unknown>> => {
    const { supervisor, details } = await Supervisor.start({
      name,
      env,
      logDir: join(dataDir, 'logs'),
      onRestart: say,
    });
    lifecycle.onClose(name, () => supervisor.stop());
    say(`${name} started (process ${supervisor.pid})`);
    return details;
  };
  signal.throwIfAborted();
  // Workers of other tiers are started by hand, or elsewhere.
  const names: AppName[] = config.EMBEDDING_TIERS.includes('cpu') ? ['worker', 'indexer'] : ['indexer'];
  const started = await Promise.allSettled([launch('gateway'), ...names.map(launch)]);
  for (const outcome of started) if (outcome.status === 'rejected') throw outcome.reason;
  const [gateway] = started;
  return { url: gateway.status === 'fulfilled' ? String(gateway.value['url']) : '' };

  async function startValkey(): Promise<string> {
    const binary = await obtainRedisServer({
      path: config.PATH,
      cacheDir,
      signal,
      onFetch: () => say('No Redis or Valkey on the PATH; fetching Valkey 9.1 (1.6 MB) ...'),
    });
    const server = await QueueServer.start({
      binary,
      dataDir: join(dataDir, 'queue'),
      log: createLogger('up', 'warn'),
      onRestart: say,
    });
    lifecycle.onClose('queue server', () => server.stop());
    say(`queue started: ${binary}`);
    return server.url;
  }
}
