/**
 * What reranking by a cross-encoder costs, and that it leaves its gateway's thread alone. The model has the shape of
 * ms-marco-MiniLM-L6 (6 layers, 384) and random weights, which say nothing of quality and take the same time.
 *
 *     npm run bench:rerank
 */
import { buildCrossEncoder } from '@embergate/models/build-cross-encoder.ts';
import { readCrossEncoder } from '@embergate/models/cross-encoder-checkout.ts';
import { defaultModelDir } from '@embergate/models/installed-model.ts';
import { ensureModel } from '@embergate/models/prepare.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { CrossEncoder } from '@embergate/rerank-onnx/cross-encoder.ts';
import { CrossEncoderModel } from '@embergate/rerank-onnx/cross-encoder-model.ts';
import { cpuSecondsOf } from '@embergate/testing/process-usage.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { copyFile, glob, readFile } from 'node:fs/promises';
import { availableParallelism, homedir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const ROOT = join(import.meta.dirname, '../..');
const QUERY = 'retry a request with exponential backoff';
const PASSAGES = 50;
/** As chunks of code are cut: at most 1,200 characters. */
const PASSAGE_CHARACTERS = 1_000;
const ROUNDS = 5;
const SHAPE = {
  kind: 'bert',
  hidden: 384,
  inner: 1_536,
  layers: 6,
  heads: 12,
  vocabulary: 30_522,
  positions: 512,
  pooling: 'cls',
  normalize: false,
  ranksPairs: true,
} as const;

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
const soon = () => ({ until: performance.now() + 120_000 });

async function passages(): Promise<string[]> {
  const found: string[] = [];
  for await (const file of glob('libs/*/src/*.ts', { cwd: ROOT })) {
    const text = await readFile(join(ROOT, file), 'utf8');
    for (let at = 0; at + PASSAGE_CHARACTERS <= text.length; at += PASSAGE_CHARACTERS)
      found.push(text.slice(at, at + PASSAGE_CHARACTERS));
  }
  // From all over, the same ones on every run.
  const step = Math.floor(found.length / PASSAGES);
  return Array.from({ length: PASSAGES }, (_, at) => found[at * step] ?? '');
}

/** How late the thread's timers ran while something was under way. */
async function lagDuring(work: () => Promise<unknown>): Promise<{ p99Ms: number; maxMs: number }> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await work();
  // What held the thread to the end shows with the next turn.
  await new Promise((resolve) => setTimeout(resolve, 20));
  delay.disable();
  return { p99Ms: delay.percentile(99) / 1e6, maxMs: delay.max / 1e6 };
}

const { path: folder, remove } = await temporaryFolder('bench-rerank');
try {
  const checkout = join(folder, 'checkout');
  await writeRandomCheckpoint(checkout, { shape: SHAPE, type: 'F32' });
  const modelDir =
    process.env['MODEL_DIR'] ?? defaultModelDir({ home: homedir(), platform: process.platform });
  const { tokenizerPath } = await ensureModel('all-MiniLM-L6-v2', { modelDir });
  await copyFile(tokenizerPath, join(checkout, 'tokenizer.json'));
  const texts = await passages();

  for (const variant of ['fp32', 'int8'] as const) {
    const model = await buildCrossEncoder(await readCrossEncoder(checkout), {
      variant,
      out: join(folder, variant),
    });
    const log = createLogger('bench', 'silent');
    const encoder = await CrossEncoder.create({ ...model, maxPassages: PASSAGES, log });
    for (const count of [8, 24, PASSAGES]) {
      const times: number[] = [];
      const cpuBefore = await cpuSecondsOf(encoder.childPid ?? NaN);
      for (let round = 0; round < ROUNDS; round++) {
        const startedAt = performance.now();
        await encoder.rerank(QUERY, texts.slice(0, count), soon());
        times.push(performance.now() - startedAt);
      }
      const cpuMs = (1_000 * ((await cpuSecondsOf(encoder.childPid ?? NaN)) - cpuBefore)) / ROUNDS;
      const [least, most] = [Math.min(...times), Math.max(...times)];
      say(
        `${variant}, ${count} candidates: ${median(times).toFixed(0)} ms (${least.toFixed(0)} to ${most.toFixed(0)}), ${cpuMs.toFixed(0)} ms of CPU`,
      );
    }
    const second = { until: performance.now() + 1_000 };
    const within = await encoder.rerank(QUERY, texts, second).catch(() => []);
    say(`${variant}, within a second: ${within.length} of ${PASSAGES} candidates`);
    if (variant === 'fp32') {
      const idle = await lagDuring(() => new Promise((resolve) => setTimeout(resolve, 1_000)));
      const beside = await lagDuring(() => encoder.rerank(QUERY, texts, soon()));
      const inside = await CrossEncoderModel.open({ ...model, threads: availableParallelism() });
      const within = await lagDuring(() => inside.score(QUERY, texts.slice(0, 8)));
      for (const [name, lag] of Object.entries({
        idle,
        'a child reranks': beside,
        'the same thread reranks 8': within,
      }))
        say(
          `event loop, ${name}: late by ${lag.p99Ms.toFixed(1)} ms at the 99th percentile, ${lag.maxMs.toFixed(1)} ms at most`,
        );
    }
    await encoder.close();
  }
} finally {
  await remove();
}
