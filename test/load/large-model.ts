// `npm run bench:large`: a model of nomic-embed-code's shape (7,070,619,136 parameters) with random weights on the CPU: time does
// not depend on their values, vectors mean nothing. Writes the checkout (14.1 GB) and the build (4.6 GB) into --folder, and
// leaves them there for the next run.
// --folder DIR (default: a folder of the user's cache)  --variant int4|int8  --queries 40  --idle 0 (minutes)  --threads 2
// --layers 28 (fewer for a quick look)  --llama PYTHON (one with numpy, gguf and llama-cpp-python: in turns with llama.cpp)
import { OnnxBackend } from '@embergate/embedding-onnx/onnx-backend.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { memoryOf } from '@embergate/testing/process-usage.ts';
import { RunningCluster } from '@embergate/testing/running-cluster.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, copyFile, mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { clusterParts, indexTinyFolder } from './cluster-parts.ts';
import { quantile } from './raw.ts';

const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: join(homedir(), '.cache', 'embergate', 'bench') },
    variant: { type: 'string', default: 'int4' },
    queries: { type: 'string', default: '40' },
    idle: { type: 'string', default: '0' },
    threads: { type: 'string', default: '2' },
    layers: { type: 'string', default: '28' },
    llama: { type: 'string' },
  },
});
const layers = Number(values.layers);
const SHAPE = {
  hidden: 3_584,
  inner: 18_944,
  layers,
  heads: 28,
  kvHeads: 4,
  vocabulary: 152_064,
  positions: 32_768,
};
/** nomic-embed-code's query prompt; a decoder cuts texts at even places, so the ninth token is computed with each query. */
const PROMPT_TOKENS = 9;
const PREFIX = textOf(PROMPT_TOKENS - (PROMPT_TOKENS % 2), 0);
const CHUNK_TOKENS = 512;
const LLAMA_ROUNDS = 15;

function textOf(length: number, seed: number): Uint32Array {
  return Uint32Array.from({ length }, (_, at) => (at * 7_919 + seed * 104_729 + 1_000) % SHAPE.vocabulary);
}
const queryOf = (tokens: number, seed: number): Uint32Array =>
  Uint32Array.from([...PREFIX, ...textOf(PROMPT_TOKENS - PREFIX.length + tokens, seed + 1)]);
const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
const gigabytes = (megabytes: number): string => `${(megabytes / 1_024).toFixed(2)} GiB`;

async function ensureCheckout(folder: string): Promise<void> {
  const tokenizer = join(folder, 'tokenizer.json');
  if (await isThere(tokenizer)) return;
  console.log(`writing a random checkout into ${folder} ...`);
  const startedAt = performance.now();
  await writeRandomCheckpoint(folder, { shape: SHAPE, type: 'BF16', shards: 4, repeatBlock: true });
  // A small one: its ids are in the vocabulary, and texts have more tokens than by the real one.
  await copyFile(join(import.meta.dirname, '../../libs/models/test/reference/bpe-tokenizer.json'), tokenizer);
  console.log(`written in ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`);
}

/** As a user builds, in a process of its own, whose memory is looked at until it ends. */
async function ensureBuild(checkout: string, out: string): Promise<void> {
  if (await isThere(out)) return;
  const startedAt = performance.now();
  const cli = join(import.meta.dirname, '..', '..', 'apps', 'cli', 'src', 'main.ts');
  const args = [cli, 'model', 'build', checkout, '--variant', values.variant, '--out', out];
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  let peak = 0;
  const look = setInterval(() => {
    // The last look may come after its end.
    memoryOf(child.pid ?? 0).then(
      ({ peakMb }) => (peak = Math.max(peak, peakMb)),
      () => undefined,
    );
  }, 200);
  const [code] = (await once(child, 'exit')) as [number | null];
  clearInterval(look);
  if (code !== 0) throw new Error(`the build ended with ${code}`);
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
  console.log(`build of ${values.variant}: ${seconds} s, peak ${gigabytes(peak)} of memory`);
}

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
};
const row = (name: string, times: readonly number[]): void =>
  console.log(
    `${name.padEnd(44)} p50 ${quantile(times, 0.5).toFixed(0)} ms  p99 ${quantile(times, 0.99).toFixed(0)} ms  (${times.length})`,
  );

/** Queries, each sent at a random moment of a chunk that is being computed. */
async function besideBulk(backend: OnnxBackend): Promise<void> {
  let isOver = false;
  let chunks = 0;
  let bulkMs = 0;
  const bulk = (async () => {
    while (!isOver) {
      bulkMs += (await backend.embed([textOf(CHUNK_TOKENS, chunks++)], { lane: 'bulk' })).ms;
    }
  })();
  const waits: number[] = [];
  const times: number[] = [];
  for (let n = 0; n < Number(values.queries); n++) {
    await wait(500 + Math.random() * 1_500);
    const startedAt = performance.now();
    const { ms } = await backend.embed([queryOf(12, 500 + n)], { lane: 'query' });
    times.push(performance.now() - startedAt);
    waits.push(performance.now() - startedAt - ms);
  }
  isOver = true;
  await bulk;
  row('a query of 12 tokens, beside 512-token chunks', times);
  console.log(
    `  of it waiting: p50 ${quantile(waits, 0.5).toFixed(0)} ms, at most ${Math.max(...waits).toFixed(0)} ms; ` +
      `bulk ${((chunks * CHUNK_TOKENS * 1_000) / bulkMs).toFixed(1)} tokens/s of its own time`,
  );
}

/** The same numbers of tokens by llama.cpp at Q4_0 and by ours, in turns; ratios round by round. */
async function besideLlama(backend: OnnxBackend, python: string): Promise<void> {
  const args = [join(import.meta.dirname, 'llama_reference.py'), root, '--serve'];
  const options = ['--layers', values.layers, '--threads', values.threads];
  const child = spawn(python, [...args, ...options], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  try {
    if ((await lines.next()).done) throw new Error(`${python} did not start llama.cpp`);
    const whole = {
      name: 'a query of 12 tokens and its prompt',
      tokens: PROMPT_TOKENS + 12,
      text: (n: number) => queryOf(12, n),
    };
    const bare = [12, 20, 32, 128].map((tokens) => ({
      name: `${tokens} tokens`,
      tokens,
      text: (n: number) => textOf(tokens, 50 + n),
    }));
    for (const { name, tokens, text } of [whole, ...bare]) {
      const [ours, theirs]: [number[], number[]] = [[], []];
      for (let n = 0; n < (tokens > 32 ? 5 : LLAMA_ROUNDS); n++) {
        ours.push(await timed(() => backend.embed([text(n)])));
        child.stdin.write(`${tokens}\n`);
        theirs.push(Number((await lines.next()).value));
      }
      const ratios = theirs.map((ms, n) => ms / (ours[n] ?? NaN));
      row(`${name}, ours`, ours);
      row(`${name}, llama.cpp Q4_0`, theirs);
      const [low, high] = [Math.min(...ratios), Math.max(...ratios)];
      console.log(
        `  ${quantile(ratios, 0.5).toFixed(2)} times as fast (${low.toFixed(2)} to ${high.toFixed(2)})`,
      );
    }
  } finally {
    child.kill();
  }
}

/** Searches by the whole service, one after the other: what it adds to the model's and the store's time. */
async function throughService(model: string): Promise<void> {
  const { modelDir, startRedis } = await clusterParts();
  const cluster = await RunningCluster.start({ startRedis, modelDir, model, tiers: ['cpu'], gateways: 1 });
  try {
    await indexTinyFolder(cluster);
    const [client] = cluster.clients;
    const [added, total]: [number[], number[]] = [[], []];
    for (let n = 0; n < Number(values.queries); n++) {
      const answer = await client?.search({ query: `retry ${n} times`, deadlineMs: 10_000 });
      const { timingsMs } = answer ?? { timingsMs: { total: NaN, search: NaN, inference: NaN } };
      total.push(timingsMs.total);
      added.push(timingsMs.total - timingsMs.search - timingsMs.inference);
    }
    row('a search by the service', total);
    console.log(
      `  of it total - search - inference: p50 ${quantile(added, 0.5).toFixed(1)} ms, p99 ${quantile(added, 0.99).toFixed(1)} ms`,
    );
  } finally {
    await cluster.stop();
  }
}

const root = join(values.folder, `qwen2-${layers}x${SHAPE.hidden}`);
await mkdir(root, { recursive: true });
const checkout = join(root, 'checkout');
const out = join(root, values.variant);
if (!(await isThere(out))) await ensureCheckout(checkout);
await ensureBuild(checkout, out);
const model = await findModel(out, { modelDir: root });
let backend: OnnxBackend | undefined;
const loadMs = await timed(async () => {
  backend = await OnnxBackend.create({
    onnxPath: model.onnxPath,
    dimensions: SHAPE.hidden,
    padTokenId: 0,
    isDecoder: true,
    prefixes: [PREFIX],
    threads: Number(values.threads),
    log: createLogger('bench', 'warn'),
  });
});
if (!backend) throw new Error('there is no model');
try {
  const running = backend;
  console.log(`loaded in ${(loadMs / 1_000).toFixed(1)} s, with the prompt computed`);
  for (let n = 0; n < 3; n++) await running.embed([queryOf(12, n)]);
  for (const tokens of [4, 12, 20, 32, 128]) {
    const times: number[] = [];
    const rounds = tokens > 32 ? 5 : Number(values.queries);
    for (let n = 0; n < rounds; n++) times.push(await timed(() => running.embed([queryOf(tokens, n)])));
    row(`a query of ${tokens} tokens after the prompt`, times);
  }
  if (values.llama !== undefined) await besideLlama(running, values.llama);
  const chunkMs = await timed(() => running.embed([textOf(CHUNK_TOKENS, 9)], { lane: 'bulk' }));
  console.log(
    `a chunk of 512 tokens alone, in parts: ${((CHUNK_TOKENS * 1_000) / chunkMs).toFixed(1)} tokens/s`,
  );
  await besideBulk(running);
  const { nowMb, ownMb } = await memoryOf(running.childPid ?? 0);
  console.log(`inference process: ${gigabytes(nowMb)} resident, ${gigabytes(ownMb)} of it no mapped files`);
  const minutes = Number(values.idle);
  if (minutes > 0) {
    const warm = await timed(() => running.embed([queryOf(12, 900)]));
    await wait(minutes * 60_000);
    const first = await timed(() => running.embed([queryOf(12, 901)]));
    console.log(`after ${minutes} idle minutes ${first.toFixed(0)} ms, before ${warm.toFixed(0)} ms`);
  }
} finally {
  await backend.close();
}
await throughService(out);
