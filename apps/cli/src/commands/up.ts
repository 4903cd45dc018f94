import { EmbergateClient } from '@embergate/client/client.ts';
import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import { DEFAULT_COLLECTION } from '@embergate/contracts/http-search.ts';
import type { IndexJob } from '@embergate/contracts/index-job.ts';
import { Lifecycle } from '@embergate/platform/lifecycle.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { Command } from 'commander';
import { once } from 'node:events';
import { dirname, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import pc from 'picocolors';
import { findOptionsOf, modelDirOf, type CliContext } from '../context.ts';
import { followJob } from '../follow-job.ts';
import { fetchModel } from '../fetch-model.ts';
import { EXIT, print } from '../output.ts';
import { showSearch } from '../show.ts';
import { prepareDataDir } from '../up/data-dir.ts';
import { startServices } from '../up/services.ts';
import { onParentGone } from '../up/watch-parent.ts';

const READY_TIMEOUT_MS = 30_000;
const SAMPLE_QUERY = 'retry with backoff after a failure';

export function upCommand(context: CliContext): Command {
  return new Command('up')
    .description('run everything on this machine, index EMBERGATE_SOURCE and serve until Ctrl-C')
    .option('--no-index', 'do not index anything')
    .action(async ({ index }: { index: boolean }) => {
      const log = createLogger('up', 'warn');
      const lifecycle = new Lifecycle(log);
      const stopped = new AbortController();
      const unwatch = onParentGone(() => stopped.abort(new Error('parent gone')));
      context.signal.addEventListener('abort', () => stopped.abort(context.signal.reason));
      // From the first Ctrl-C on the exit code is that of an interrupted command, as a shell expects.
      context.signal.addEventListener('abort', () => context.setExitCode(EXIT.interrupted));
      try {
        await runUp({ context: { ...context, signal: stopped.signal }, lifecycle, index });
      } catch (error) {
        if (!stopped.signal.aborted) throw error;
      } finally {
        unwatch();
        if (stopped.signal.aborted) process.stderr.write('\nStopping ...\n');
        await lifecycle.close();
      }
    });
}

interface UpParts {
  context: CliContext;
  lifecycle: Lifecycle;
  index: boolean;
}

async function runUp({ context, lifecycle, index }: UpParts): Promise<void> {
  const { config, signal } = context;
  const dataDir = await prepareDataDir(config.DATA_DIR, lifecycle);
  const modelDir = modelDirOf(context);
  await fetchModel(config.EMBEDDING_MODEL, context);
  for (const { model, dimensions } of config.OTHER_EMBEDDING_MODELS) {
    // The variant that is set is one of the first model.
    await fetchModel(model, context, { ...findOptionsOf(context), dimensions, variant: undefined });
  }
  const { url } = await startServices({ context, lifecycle, dataDir, modelDir, cacheDir: dirname(modelDir) });
  signal.throwIfAborted();
  const client = new EmbergateClient({ url, apiKey: config.EMBERGATE_API_KEY });
  await untilReady(client, signal);
  if (index) {
    await indexSource(client, context);
    await sampleSearch(client);
  }
  print(pc.green(`Embergate ready: ${url}`));
  if (!signal.aborted) await once(signal, 'abort');
}

/** The worker has said that it is ready; the gateway hears of it with its next heartbeat. */
async function untilReady(client: EmbergateClient, signal: AbortSignal): Promise<void> {
  const until = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const { status, checks } = await client.readiness();
    if (status === 'ok') return;
    if (performance.now() > until)
      throw new AppError('process_failed', `The gateway is not ready: ${JSON.stringify(checks)}`);
    await wait(50, undefined, { signal });
  }
}

/** Indexes EMBERGATE_SOURCE, or follows the job that an earlier start left behind. */
async function indexSource(client: EmbergateClient, context: CliContext): Promise<void> {
  const path = resolve(context.config.EMBERGATE_SOURCE ?? process.cwd());
  let id: string;
  try {
    ({ id } = await client.createIndexJob({ source: { type: 'directory', path } }));
  } catch (thrown) {
    const error = toAppError(thrown);
    const running = error.details['jobId'];
    if (error.code !== 'job_running' || typeof running !== 'string') throw error;
    id = running;
    print('Going on with the indexing that an earlier start began.');
  }
  const job: IndexJob = await followJob(client, id, {
    context,
    json: false,
    onInterrupt: 'The next start goes on with the indexing where it is.',
  });
  context.signal.throwIfAborted();
  if (job.state !== 'completed') print(pc.yellow(`The index job was ${job.state}.`));
}

async function sampleSearch(client: EmbergateClient): Promise<void> {
  print(`\nembergate search "${SAMPLE_QUERY}"`);
  showSearch(await client.search({ query: SAMPLE_QUERY, collection: DEFAULT_COLLECTION, limit: 3 }));
  print('');
}
