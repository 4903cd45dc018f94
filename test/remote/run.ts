// `npm run test:remote`: a remote worker before a server of somebody else's, killed and started again.
import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { isEnded } from '@embergate/contracts/index-job.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { stablePort } from '@embergate/testing/free-port.ts';
import { RunningCluster } from '@embergate/testing/running-cluster.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeSampleProject } from '@embergate/testing/sample-project.ts';
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { clusterParts } from '../load/cluster-parts.ts';
import { quantile } from '../load/raw.ts';
import { newText } from '../load/texts.ts';
import { Infinity, installInfinity, writeCheckout } from './infinity.ts';

const API_KEY = 'sk-of-the-remote-test';
const QUERIES = 200;
const BACK_WITHIN_MS = 10_000;
/** Short, long, longer than the model reads, and what servers trip over. */
const TEXTS = [
  'open the file and read its first line',
  'def retry(times):\n    for attempt in range(times):\n        yield attempt\n',
  'word '.repeat(200),
  'const value = await fetch(url); '.repeat(100),
  '汉字 and emoji 🙂 and a NUL \0 and CRLF\r\n',
];

const say = (line: string): void => console.log(line);
const cosine = (x: readonly number[], y: readonly number[]): number =>
  x.reduce((sum, value, at) => sum + value * (y[at] ?? 0), 0) / (Math.hypot(...x) * Math.hypot(...y));

const { modelDir, startRedis } = await clusterParts();
const venv = process.env['INFINITY_VENV'] ?? join(dirname(modelDir), 'infinity-emb-0.0.77');
const installedAt = performance.now();
const command = await installInfinity(venv);
say(`infinity-emb is installed: ${((performance.now() - installedAt) / 1_000).toFixed(0)} s`);

const folder = await temporaryFolder('remote');
const checkout = join(folder.path, 'checkout');
await writeCheckout(checkout, (await findModel(DEFAULT_MODEL, { modelDir })).folder);
const server = { command, checkout, port: await stablePort(), apiKey: API_KEY };
let infinity = await Infinity.start(server);
const cluster = await RunningCluster.start({
  startRedis,
  modelDir,
  tiers: ['remote', 'cpu'],
  gateways: 1,
  workerEnv: {
    remote: {
      REMOTE_EMBEDDING_URL: `http://127.0.0.1:${server.port}/v1`,
      REMOTE_EMBEDDING_API_KEY: API_KEY,
      REMOTE_EMBEDDING_MODEL: 'minilm',
    },
  },
});
const [client] = cluster.clients;
assert(client);

/** Answers to new texts, one after the other: milliseconds of each. */
async function latencies(tier: string): Promise<number[]> {
  const times: number[] = [];
  while (times.length < QUERIES) {
    const { embedding } = await client!.search({ query: newText() });
    if (embedding.tier === tier) times.push(embedding.tookMs);
  }
  return times;
}
const report = (tier: string, times: readonly number[]): void =>
  say(
    `${tier}: p50 ${quantile(times, 0.5).toFixed(1)} ms, p99 ${quantile(times, 0.99).toFixed(1)} ms for a query's vector`,
  );
/** Of all texts, computed by that tier and not kept from before: a list asks no cache. */
async function vectorsBy(tier: string): Promise<readonly number[][]> {
  const response = await fetch(`${client!.url}/v1/embeddings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: DEFAULT_MODEL, input: TEXTS }),
  });
  assert.equal(response.headers.get('x-embedding-tier'), tier);
  const { data } = (await response.json()) as { data: { embedding: number[] }[] };
  return data.map(({ embedding }) => embedding);
}
const stateOf = async (tier: string) => (await client.cluster()).tiers.find(({ name }) => name === tier);

try {
  await writeSampleProject(join(folder.path, 'project'));
  const source = { type: 'directory', path: join(folder.path, 'project') } as const;
  const job = await client.createIndexJob({ source, repo: 'sample' });
  const done = await eventually('the project is indexed', async () => {
    const seen = await client.indexJob(job.id);
    return isEnded(seen.state) && seen;
  });
  assert.equal(done.state, 'completed');
  say(`indexed by the remote tier: ${done.progress.chunks} chunks`);
  const first = await client.search({ query: 'read the configuration' });
  assert.deepEqual([first.embedding.tier, first.embedding.device], ['remote', 'remote']);
  assert(first.results.length > 0);
  const remote = await vectorsBy('remote');
  report('remote', await latencies('remote'));

  await infinity.kill();
  const { embedding } = await client.search({ query: 'after the kill' });
  assert.deepEqual([embedding.tier, embedding.reason], ['cpu', 'remote_down']);
  say(`killed: the next query is answered by cpu (${embedding.reason}) in ${embedding.tookMs.toFixed(0)} ms`);
  await eventually('the cluster says so', async () => (await stateOf('remote'))?.state !== 'ready');
  report('cpu', await latencies('cpu'));
  const local = await vectorsBy('cpu');
  TEXTS.forEach((text, at) => {
    const agreement = cosine(remote[at] ?? [], local[at] ?? []);
    say(`cosine ${agreement.toFixed(7)} for ${JSON.stringify(text.slice(0, 40))}`);
    assert(agreement > 0.9999);
  });

  infinity = await Infinity.start(server);
  const backAt = performance.now();
  await eventually('remote answers again', async () => {
    const answer = await client.search({ query: newText() });
    return answer.embedding.tier === 'remote';
  });
  const backMs = performance.now() - backAt;
  say(`started again: remote answers after ${backMs.toFixed(0)} ms`);
  assert(backMs < BACK_WITHIN_MS);
  say(`alignment: ${JSON.stringify((await stateOf('remote'))?.alignment)}`);

  for (const file of await readdir(join(cluster.folder, 'logs'))) {
    const log = await readFile(join(cluster.folder, 'logs', file), 'utf8');
    assert(!log.includes(API_KEY), `${file} holds the key`);
  }
  say('no log holds the key');
} finally {
  await cluster.stop();
  await infinity.kill();
  await folder.remove();
}
