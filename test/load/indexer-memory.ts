// `npm run bench:index-memory`: resident memory of the indexer, and what it writes, while a large repository is indexed, then again with
// 1% of its files changed. The vectors are made up (made-up-worker.ts): there is no model in it, so the times are those of everything else;
// with --model they are the default model's, made by a real worker.
// --files N (20,000)  --chunks N a file (10)  --changed N files (1% of them)  --model
// --dimensions N: made-up vectors of so many numbers, instead of the default model's 384
import { isEnded, type IndexJob } from '@embergate/contracts/index-job.ts';
import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { findModel, MANIFEST_FILE, manifestSchema } from '@embergate/models/installed-model.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { IndexQueue } from '@embergate/queue/index-queue.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { stablePort } from '@embergate/testing/free-port.ts';
import { KeptProcess, type AppCommand } from '@embergate/testing/kept-process.ts';
import { memoryOf } from '@embergate/testing/process-usage.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { LEAN_MEMORY } from '../../apps/cli/src/up/lean-memory.ts';
import { clusterParts } from './cluster-parts.ts';
import { MadeUpWorker } from './made-up-worker.ts';

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: '20000' },
    chunks: { type: 'string', default: '10' },
    changed: { type: 'string' },
    dimensions: { type: 'string' },
    model: { type: 'boolean', default: false },
  },
});
const FILES = Number(values.files);
const CHUNKS_A_FILE = Number(values.chunks);
const CHANGED = Number(values.changed ?? Math.ceil(FILES / 100));
/** 0: as the default model has them. */
const DIMENSIONS = Number(values.dimensions ?? 0);
if (!Number.isInteger(DIMENSIONS) || DIMENSIONS < 0) throw new Error('--dimensions takes a whole number');
if (DIMENSIONS > 0 && values.model) throw new Error('--model makes its own vectors: leave --dimensions out');
const LOOK_MS = 100;

/** Some 700 characters: two of them do not fit into one chunk. */
function functionOf(file: number, n: number, version: number): string {
  const lines = Array.from(
    { length: 11 },
    (_, line) =>
      `    value_${line} = source_${file % 997}[${n * 13 + line}] * weight_${line} + ${file * 31 + version}`,
  );
  return `def compute_${file}_${n}(source, weight):\n${lines.join('\n')}\n    return value_0\n`;
}

async function writeSource(root: string, files: Iterable<number>, version: number): Promise<void> {
  for (const file of files) {
    const folder = join(root, `package_${file % 100}`);
    if (version === 0) await mkdir(folder, { recursive: true });
    const body = Array.from({ length: CHUNKS_A_FILE }, (_, n) => functionOf(file, n, version));
    await writeFile(join(folder, `module_${file}.py`), body.join('\n\n'));
  }
}

/** The default model under a manifest that says another length of its vectors: an indexer reads that and the tokenizer. */
async function modelOf(
  dimensions: number,
  { modelDir, into }: { modelDir: string; into: string },
): Promise<string> {
  const { folder } = await findModel(DEFAULT_MODEL, { modelDir });
  await cp(folder, into, { recursive: true });
  const manifest = manifestSchema.parse(JSON.parse(await readFile(join(into, MANIFEST_FILE), 'utf8')));
  manifest.space.dimensions = dimensions;
  await writeFile(join(into, MANIFEST_FILE), JSON.stringify(manifest));
  return into;
}

const { modelDir, startRedis } = await clusterParts();
const folder = await temporaryFolder('memory');
const source = join(folder.path, 'source');
await mkdir(join(folder.path, 'logs'));
await writeSource(source, Array.from({ length: FILES }).keys(), 0);
const server = await startRedis({ dataDir: join(folder.path, 'queue'), port: await stablePort() });
const log = createLogger('bench', 'warn');
const redis = await connectRedis({ url: server.url, patience: 'patient', log });
const queue = new IndexQueue(redis);
const model =
  DIMENSIONS > 0 ? await modelOf(DIMENSIONS, { modelDir, into: join(folder.path, 'model') }) : DEFAULT_MODEL;
const { space } = await findModel(model, { modelDir });
const { PATH, HOME } = process.env;
const keep = async (command: AppCommand, env: NodeJS.ProcessEnv): Promise<KeptProcess> => {
  const logDir = join(folder.path, 'logs');
  const common = {
    PATH,
    HOME,
    LOG_LEVEL: 'info',
    MODEL_DIR: modelDir,
    EMBEDDING_MODEL: model,
    REDIS_URL: server.url,
  };
  const kept = new KeptProcess({
    ...{ name: command, command, logDir, restartDelayMs: 1_000 },
    env: { ...common, ...LEAN_MEMORY.env, NODE_OPTIONS: LEAN_MEMORY.nodeOptions.join(' '), ...env },
  });
  kept.bringUp();
  await kept.whenReady();
  return kept;
};
const worker = values.model
  ? await keep('worker', { WORKER_TIER: 'cpu', EMBEDDING_TIERS: 'cpu' })
  : await MadeUpWorker.start(server.url, space);
const indexer = await keep('indexer', { DATA_DIR: folder.path, EMBEDDING_TIERS: 'cpu' });

const writtenBytes = async (): Promise<number> =>
  Number(/write_bytes: (\d+)/.exec(await readFile(`/proc/${indexer.pid}/io`, 'utf8'))?.[1]);

async function indexOnce(name: string): Promise<number> {
  const [before, writtenBefore] = [await memoryOf(indexer.pid), await writtenBytes()];
  const { id } = await queue.add({
    source: { type: 'directory', path: source },
    collection: 'default',
    repo: 'large',
    mode: 'incremental',
  });
  const peak = { running: 0, publishing: 0 };
  let job: IndexJob;
  for (job = await queue.get(id); !isEnded(job.state); job = await queue.get(id)) {
    const { nowMb } = await memoryOf(indexer.pid);
    const phase = job.state === 'publishing' ? 'publishing' : 'running';
    peak[phase] = Math.max(peak[phase], nowMb);
    await wait(LOOK_MS);
  }
  const seconds = (Date.parse(job.finishedAt ?? '') - Date.parse(job.startedAt ?? '')) / 1_000;
  const after = await memoryOf(indexer.pid);
  console.log(
    `${name}: ${job.state} ${job.error?.message ?? ''}, ${job.progress.files} files, ${job.progress.chunks} chunks, ` +
      `${job.progress.embedded} embedded, ${seconds.toFixed(1)} s; ` +
      `${(((await writtenBytes()) - writtenBefore) / 1e6).toFixed(1)} MB written; indexer's resident memory in MB: ${before.nowMb} before, ` +
      `${peak.running} at most while running, ${peak.publishing} while publishing, ${after.nowMb} after (own ${after.ownMb}), peak ${after.peakMb}`,
  );
  return seconds;
}

try {
  const full = await indexOnce('first run');
  await writeSource(
    source,
    Array.from({ length: CHANGED }, (_, n) => Math.floor((n * FILES) / CHANGED)),
    1,
  );
  const changed = await indexOnce(`${CHANGED} files changed`);
  const none = await indexOnce('nothing changed');
  const share = (seconds: number): string => `${((seconds / full) * 100).toFixed(1)}%`;
  console.log(
    `of the first run's time: ${share(changed)} with ${CHANGED} files changed, ${share(none)} with none`,
  );
} finally {
  await indexer.takeDown('SIGTERM');
  await (worker instanceof KeptProcess ? worker.takeDown('SIGTERM') : worker.close());
  await queue.close();
  redis.disconnect();
  await server.stop();
  await folder.remove();
}
