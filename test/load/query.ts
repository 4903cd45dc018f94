// `npm run bench:query`: what a query costs beyond the model, alone and under load. Raw inference before and after.
import type { SearchResponse } from '@embergate/contracts/http-search.ts';
import { RunningEmbergate } from '@embergate/testing/running-embergate.ts';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Poster } from './post.ts';
import { quantile, RawModel, timeSingles } from './raw.ts';
import { newText } from './texts.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CLIENTS = 64;
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 30);
const SINGLES = 500;
const WARM_UP = 2_000;

const poster = new Poster(1);

const ms = (value: number): string => `${value.toFixed(2)} ms`;

async function rawSingles(): Promise<number[]> {
  const raw = await RawModel.load(2);
  const { ids } = raw.tokenizer.encode(newText());
  await timeSingles(raw, ids, 50);
  const times = await timeSingles(raw, ids, SINGLES);
  await raw.release();
  return times;
}

function report(name: string, times: readonly number[]): void {
  const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)];
  console.log(
    `${name.padEnd(44)} p50 ${ms(p50)}  p99 ${ms(p99)}  ${(1_000 / (times.reduce((a, b) => a + b, 0) / times.length)).toFixed(0)}/s`,
  );
}

async function underLoad(url: string, model: string): Promise<void> {
  const script = fileURLToPath(new URL('./load-child.mjs', import.meta.url));
  const args = [script, url, String(CLIENTS), String(SECONDS), model];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 1e8 });
  const result = JSON.parse(stdout) as {
    requests: { average: number; total: number };
    latency: { p50: number; p99: number; average: number };
    errors: number;
    timeouts: number;
    non2xx: number;
  };
  const { requests, latency } = result;
  // By Little's law rate x latency must give the clients; a load generator that miscounts shows here.
  const connections = (requests.average * latency.average) / 1_000;
  console.log(
    `service, ${CLIENTS} clients for ${SECONDS} s`.padEnd(44),
    `p50 ${latency.p50} ms  p99 ${latency.p99} ms  ${requests.average.toFixed(0)}/s  ${requests.total} answers, ` +
      `${result.errors + result.timeouts + result.non2xx} errors (rate x latency = ${connections.toFixed(1)} clients)`,
  );
}

const before = await rawSingles();
const embergate = await RunningEmbergate.start({
  source: ROOT,
  env: { INDEX_ROOTS: ROOT, LOG_LEVEL: 'warn' },
});
try {
  const { client, url } = embergate;
  const { data } = await client.models();
  const model = data[0]?.id ?? '';
  const { usage } = await client.embeddings({ model, input: newText() });
  console.log(`one text of ${usage.total_tokens} tokens, ${model}, 2 threads\n`);
  report('raw, before', before);
  const embed = () => poster.post(`${url}/v1/embeddings`, { model, input: newText() });
  // Until the engine has compiled what is hot, some thousand calls.
  for (let warm = 0; warm < WARM_UP; warm++) await embed();
  const singles: number[] = [];
  for (let round = 0; round < SINGLES; round++) singles.push((await embed()).ms);
  report('service, 1 client, /v1/embeddings', singles);
  await underLoad(url, model);
  const known = newText();
  const cached: number[] = [];
  for (let round = 0; round < SINGLES; round++)
    cached.push((await poster.post(`${url}/v1/embeddings`, { model, input: known })).ms);
  report('service, 1 client, the same text again', cached);

  const answers: SearchResponse[] = [];
  const searches: number[] = [];
  for (let round = 0; round < SINGLES; round++) {
    const { ms: took, text } = await poster.post(`${url}/v1/search`, { query: newText() });
    searches.push(took);
    answers.push(JSON.parse(text) as SearchResponse);
  }
  report('service, 1 client, /v1/search hybrid', searches);
  const rest = answers.map(({ timingsMs }) => timingsMs.total - timingsMs.search - timingsMs.inference);
  report('  of it total - search - inference', rest);
  report(
    '  of it search',
    answers.map(({ timingsMs }) => timingsMs.search),
  );
  report(
    '  of it inference',
    answers.map(({ timingsMs }) => timingsMs.inference),
  );
} finally {
  poster.close();
  await embergate.dispose();
}
report('raw, after', await rawSingles());
