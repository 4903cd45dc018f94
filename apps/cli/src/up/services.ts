import type { ServedModel } from '@embergate/contracts/served-models.ts';
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
  const launch = async (
    name: AppName,
    { label = name, own = {} }: { label?: string; own?: NodeJS.ProcessEnv } = {},
  ): Promise<Record<string, unknown>> => {
    const { supervisor, details } = await Supervisor.start({
      name,
      label,
      env: { ...env, ...own },
      logDir: join(dataDir, 'logs'),
      onRestart: say,
    });
    lifecycle.onClose(label, () => supervisor.stop());
    say(`${label} started (process ${supervisor.pid})`);
    return details;
  };
  /** What is set for the first model is not meant for another one. */
  const launchOther = ({ model, dimensions }: ServedModel, index: number): Promise<Record<string, unknown>> =>
    launch('worker', {
      label: `worker-${index + 2}`,
      own: {
        EMBEDDING_MODEL: model,
        EMBEDDING_DIMENSIONS: dimensions?.toString(),
        EMBEDDING_VARIANT: undefined,
      },
    });
  signal.throwIfAborted();
  // Workers of other tiers are started by hand, or elsewhere.
  const cpuWorkers = [
    ...(config.EMBEDDING_TIERS.includes('cpu') ? [launch('worker')] : []),
    ...config.OTHER_EMBEDDING_MODELS.filter(({ tiers }) => tiers.includes('cpu')).map(launchOther),
  ];
  const started = await Promise.allSettled([launch('gateway'), ...cpuWorkers, launch('indexer')]);
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
