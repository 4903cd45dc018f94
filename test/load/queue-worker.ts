// The workers of test/load/queue.ts, each way in a process of its own: no model, so that only the way costs.
// argv: `product` or `bullmq`, then the URL of Redis. Over the channel: `{type: 'usage'}` asks for its processor time.
import { decodeTokenIds } from '@embergate/contracts/embed-job.ts';
import type { EmbeddingBackend } from '@embergate/embedding/backend.ts';
import { Batcher } from '@embergate/embedding/batcher.ts';
import { paddedTokens } from '@embergate/embedding/padded-tokens.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { EmbedReceiver } from '@embergate/queue/embed-receiver.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import { LiveFit } from '@embergate/routing/fit.ts';
import { Worker } from 'bullmq';

export const DIMENSIONS = 3_584;
export const PLAIN_QUEUE = 'plain-bullmq';
/** Both ways take this many jobs at a time, as a worker's query lane does. */
const CONCURRENCY = 64;

const vector = Float32Array.from({ length: DIMENSIONS }, (_, n) => Math.sin(n));

/** Instead of a model: each text has the same vector, at once. */
const noModel: EmbeddingBackend = {
  device: 'none',
  dimensions: DIMENSIONS,
  isReady: true,
  whenReady: async () => undefined,
  embed: async (batch) => {
    const vectors = new Float32Array(batch.length * DIMENSIONS);
    batch.forEach((_ids, row) => vectors.set(vector, row * DIMENSIONS));
    return { vectors, ms: 0 };
  },
  bulkBeside: 0,
  isolatesBulk: false,
  pads: true,
  computedTokens: paddedTokens,
  close: async () => undefined,
};
/** Both ways batch, as a worker does. */
const batcher = new Batcher({ backend: noModel, fit: new LiveFit({ a: 0.1, b: 0.001 }) });
const embed = async (inputs: readonly string[]): Promise<Float32Array> =>
  (await batcher.submit(inputs.map(decodeTokenIds), { lane: 'query' })).vectors;

async function serveProduct(url: string): Promise<void> {
  const log = createLogger('bench', 'warn');
  const redis = await connectRedis({ url, patience: 'patient', log });
  const clock = new RedisClock(redis);
  await clock.start();
  const made = { count: 1, dimensions: DIMENSIONS, queueMs: 0, inferenceMs: 0 };
  const by = { workerId: 'bench', tier: 'cpu', variant: 'none', device: 'none' };
  new EmbedReceiver({
    redis,
    clock,
    space: 'bench',
    tier: 'cpu',
    lane: 'query',
    concurrency: CONCURRENCY,
    log,
    handler: async (job) => ({
      meta: { status: 'ok', id: job.id, ...made, ...by },
      vectors: await embed(job.inputs),
    }),
  });
}

async function servePlain(url: string): Promise<void> {
  const { hostname: host, port } = new URL(url);
  const connection = { host, port: Number(port), maxRetriesPerRequest: null };
  const worker = new Worker<{ inputs: string[] }>(
    PLAIN_QUEUE,
    async ({ data }) => {
      const { buffer, byteOffset, byteLength } = await embed(data.inputs);
      return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
    },
    { connection, concurrency: CONCURRENCY },
  );
  await worker.waitUntilReady();
}

const [way, url] = process.argv.slice(2);
if (process.send && url !== undefined) {
  process.on('disconnect', () => process.exit(0));
  process.on('message', () => process.send?.({ type: 'usage', usage: process.cpuUsage() }));
  await (way === 'product' ? serveProduct(url) : servePlain(url));
  process.send({ type: 'ready' });
}
