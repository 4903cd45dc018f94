// `npm run bench:index`: the rate of an index job beside the raw model's on the same chunks, before and after.
// Corpus: Python's standard library without tests (default), or the folder named as the first argument.
// BULK_PROCESSES=0: without processes for bulk work alone.
import { isEnded, type IndexJob } from '@embergate/contracts/index-job.ts';
import { createChunker } from '@embergate/ingestion/chunk.ts';
import { embeddedText } from '@embergate/ingestion/embedded-text.ts';
import { walkSource } from '@embergate/ingestion/walk.ts';
import { cpuSecondsOf, memoryOf } from '@embergate/testing/process-usage.ts';
import { descendantsOf } from '@embergate/testing/processes.ts';
import { RunningEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { resolve } from 'node:path';
import { RawModel, tokensPerSecond } from './raw.ts';
import { copyStandardLibrary } from './stdlib.ts';

const SAMPLE = 600;
const BATCH_SIZES = [2, 4, 8, 16];
const THREADS = [2];
const PROCESSES = /(worker|indexer|gateway)\/src\/main|inference-child\.ts( bulk)?|(valkey|redis)-server 1/;

const corpus = await temporaryFolder('corpus');
const [named] = process.argv.slice(2);
const root = named === undefined ? corpus.path : resolve(named);
if (named === undefined) console.log(`Python ${await copyStandardLibrary(corpus.path)}'s standard library`);

/** Every n-th chunk of the corpus as the indexer embeds it, tokenised; sorted by length. */
async function sampleChunks(raw: RawModel): Promise<Uint32Array[]> {
  const chunker = await createChunker({ maxChars: 1_024 });
  const all: string[] = [];
  for await (const file of walkSource(root)) {
    if (file.kind !== 'file') continue;
    for (const chunk of await chunker.chunk(file)) all.push(embeddedText({ path: file.path, ...chunk }));
  }
  chunker.close();
  const step = Math.max(1, Math.floor(all.length / SAMPLE));
  const sample = all.filter((_, index) => index % step === 0).map((text) => raw.tokenizer.encode(text).ids);
  console.log(`${all.length} chunks; raw is measured on ${sample.length} of them`);
  return sample.sort((a, b) => a.length - b.length);
}

async function rawRates(sample?: Uint32Array[]): Promise<{ best: number; sample: Uint32Array[] }> {
  let best = 0;
  let texts = sample;
  for (const threads of THREADS) {
    const raw = await RawModel.load(threads);
    texts ??= await sampleChunks(raw);
    await tokensPerSecond(raw, texts.slice(-64), 8);
    for (const size of BATCH_SIZES) {
      const rate = await tokensPerSecond(raw, texts, size);
      best = Math.max(best, rate);
      console.log(
        `raw, ${threads} threads, batches of ${String(size).padStart(2)}: ${rate.toFixed(0)} tokens/s`,
      );
    }
    await raw.release();
  }
  return { best, sample: texts ?? [] };
}

/** Of what has run so far, by the process. */
async function processorSeconds(root: number): Promise<Map<number, { name: string; seconds: number }>> {
  const used = new Map<number, { name: string; seconds: number }>();
  for (const { pid, command } of await descendantsOf(root)) {
    const name = PROCESSES.exec(command)?.[0];
    if (name !== undefined) used.set(pid, { name, seconds: await cpuSecondsOf(pid) });
  }
  return used;
}

async function indexOnce(): Promise<IndexJob> {
  const { BULK_PROCESSES } = process.env;
  const env = { INDEX_ROOTS: root, LOG_LEVEL: 'warn', ...(BULK_PROCESSES && { BULK_PROCESSES }) };
  const embergate = await RunningEmbergate.start({ env });
  try {
    const before = await processorSeconds(embergate.pid);
    const { id } = await embergate.client.createIndexJob({
      source: { type: 'directory', path: root },
      repo: 'corpus',
    });
    for await (const job of embergate.client.watchIndexJob(id)) {
      if (!isEnded(job.state)) continue;
      for (const [pid, { name, seconds }] of await processorSeconds(embergate.pid)) {
        const { peakMb } = await memoryOf(pid);
        const used = seconds - (before.get(pid)?.seconds ?? 0);
        console.log(`${name}: peak memory ${peakMb} MB, ${used.toFixed(1)} s of processor time in the job`);
      }
      return job;
    }
    throw new Error('the job never ended');
  } finally {
    await embergate.dispose();
  }
}

const before = await rawRates();
const job = await indexOnce();
const { progress, startedAt, finishedAt } = job;
const seconds = (Date.parse(finishedAt ?? '') - Date.parse(startedAt ?? '')) / 1_000;
const rate = progress.tokens / seconds;
console.log(
  `index job: ${job.state}, ${progress.files} files, ${progress.skipped} skipped, ${progress.chunks} chunks (${progress.embedded} embedded), ` +
    `${progress.tokens} tokens in ${seconds.toFixed(1)} s: ${rate.toFixed(0)} tokens/s, from start to published`,
);
const after = await rawRates(before.sample);
const raw = (before.best + after.best) / 2;
console.log(
  `raw best before ${before.best.toFixed(0)}, after ${after.best.toFixed(0)}: indexing reaches ${((rate / raw) * 100).toFixed(1)}% of their mean`,
);
await corpus.remove();
