// `npm run bench:reindex [-- FOLDER]`: what searches notice of a full re-index of what they search in: their times before, during and
// after it, and whether any of them failed, was degraded, or saw rows of both the old run and the new one.
// FOLDER: default some packages of Python's standard library. --clients N (16)  --pause MS between a client's searches (0)
// --idle SECONDS before and after (30)
import { isEnded, type IndexJob } from '@embergate/contracts/index-job.ts';
import type { SearchResponse } from '@embergate/contracts/http-search.ts';
import { RunningEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Poster } from './post.ts';
import { quantile } from './raw.ts';
import { copyStandardLibrary } from './stdlib.ts';
import { newText } from './texts.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    clients: { type: 'string', default: '16' },
    pause: { type: 'string', default: '0' },
    idle: { type: 'string', default: '30' },
  },
});
const CLIENTS = Number(values.clients);
const PAUSE_MS = Number(values.pause);
const IDLE_MS = Number(values.idle) * 1_000;
const WARM_UP_MS = 10_000;
/** The contract of a re-index: so much more than an idle service takes, and one batch of queries. */
const ALLOWED_MS = 250;

const corpus = await temporaryFolder('reindex');
const root = positionals[0] === undefined ? join(corpus.path, 'asyncio') : resolve(positionals[0]);
if (positionals[0] === undefined) console.log(`asyncio of Python ${await copyStandardLibrary(corpus.path)}`);

interface Searched {
  times: number[];
  inference: number[];
  old: number;
  new: number;
  failures: string[];
}

const embergate = await RunningEmbergate.start({
  source: root,
  env: { INDEX_ROOTS: root, LOG_LEVEL: 'warn' },
});
const poster = new Poster(CLIENTS);

/** A full run makes each row anew, and the id of such a row says so. */
const isOfFullRun = (id: string): boolean => id.includes('~');

function take(searched: Searched, { ms, text }: { ms: number; text: string }): void {
  const { results, embedding, warnings, timingsMs } = JSON.parse(text) as SearchResponse;
  searched.times.push(ms);
  searched.inference.push(timingsMs.inference);
  const fromNew = results.filter(({ id }) => isOfFullRun(id)).length;
  if (results.length === 0) searched.failures.push('no results');
  else if (fromNew > 0 && fromNew < results.length) searched.failures.push('rows of both runs');
  else searched[fromNew > 0 ? 'new' : 'old'] += 1;
  if (embedding.degraded || warnings.length > 0)
    searched.failures.push(`degraded: ${JSON.stringify({ ...embedding, warnings })}`);
}

/** All clients search until `end` is done. */
async function searchUntil(end: Promise<unknown>): Promise<Searched> {
  const searched: Searched = { times: [], inference: [], old: 0, new: 0, failures: [] };
  let going = true;
  void end.finally(() => (going = false));
  const client = async (): Promise<void> => {
    while (going) {
      await poster.post(`${embergate.url}/v1/search`, { query: newText() }).then(
        (answer) => take(searched, answer),
        (error: unknown) => void searched.failures.push(String(error)),
      );
      if (PAUSE_MS > 0) await wait(PAUSE_MS * 2 * Math.random());
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  await end;
  return searched;
}

function report(name: string, { times, inference, failures, ...seen }: Searched, seconds: number): void {
  const at = (share: number): string => quantile(times, share).toFixed(1);
  console.log(
    `${name.padEnd(24)} p50 ${at(0.5)} ms  p99 ${at(0.99)} ms  max ${Math.max(...times).toFixed(1)} ms, of it inference p50 ` +
      `${quantile(inference, 0.5).toFixed(1)} ms; ${times.length} searches in ${seconds.toFixed(0)} s, ${seen.old} of the old run, ` +
      `${seen.new} of the new one, ${failures.length} failures`,
  );
  for (const failure of new Set(failures)) console.log(`  ${failure.slice(0, 300)}`);
}

async function measured(name: string, end: () => Promise<unknown>): Promise<Searched> {
  const start = performance.now();
  const searched = await searchUntil(end());
  report(name, searched, (performance.now() - start) / 1_000);
  return searched;
}

async function fullRun(): Promise<IndexJob> {
  const { client } = embergate;
  const [repo] = (await client.collection('default')).repos;
  const source = { type: 'directory' as const, path: root };
  const { id } = await client.createIndexJob({ source, repo: repo?.name ?? '', mode: 'full' });
  for await (const job of client.watchIndexJob(id)) if (isEnded(job.state)) return job;
  throw new Error('the job never ended');
}

try {
  await searchUntil(wait(WARM_UP_MS));
  const idle = await measured('idle', () => wait(IDLE_MS));
  const { promise: jobDone, resolve: tellJob } = Promise.withResolvers<IndexJob>();
  // Some searches after the switch belong to it too.
  const during = await measured('during a full re-index', async () => {
    tellJob(await fullRun());
    await wait(1_000);
  });
  const job = await jobDone;
  const seconds = (Date.parse(job.finishedAt ?? '') - Date.parse(job.startedAt ?? '')) / 1_000;
  console.log(
    `  the job: ${job.state}, ${job.progress.chunks} chunks, ${job.progress.embedded} embedded, ${seconds.toFixed(1)} s`,
  );
  await measured('idle again', () => wait(IDLE_MS));
  const more = quantile(during.times, 0.99) - quantile(idle.times, 0.99);
  const batch = quantile(idle.inference, 0.99);
  console.log(
    `p99 during - p99 idle = ${more.toFixed(1)} ms; allowed are ${ALLOWED_MS} ms and one batch of queries (${batch.toFixed(1)} ms): ` +
      (more <= ALLOWED_MS + batch && during.failures.length === 0 ? 'held' : 'NOT held'),
  );
} finally {
  poster.close();
  await embergate.dispose();
  await corpus.remove();
}
