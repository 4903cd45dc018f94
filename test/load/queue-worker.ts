// The workers of test/load/queue.ts, each way in a process of its own: no model, so that only the way costs.
// argv: `product` or `bullmq`, then the URL of Redis. Over the channel: `{type: 'usage'}` asks for its processor time.
import { createLogger } from '@embergate/platform/logs.ts';
import { Admissions } from '@embergate/queue/admissions.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { EmbedReceiver } from '@embergate/queue/embed-receiver.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import { Worker } from 'bullmq';

export const DIMENSIONS = 3_584;
export const PLAIN_QUEUE = 'plain-bullmq';
/** Both ways take this many jobs at a time, as a worker's query lane does. */
const CONCURRENCY = 64;

const vector = Float32Array.from({ length: DIMENSIONS }, (_, n) => Math.sin(n));

async function serveProduct(url: string): Promise<void> {
  const log = createLogger('bench', 'warn');
  const redis = await connectRedis({ url, patience: 'patient', log });
  const clock = new RedisClock(redis);
  await clock.start();
  new EmbedReceiver({
    redis,
    clock,
    admissions: new Admissions(redis),
    tier: 'cpu',
    lane: 'query',
    concurrency: CONCURRENCY,
    log,
    handler: async (job) => ({
      meta: {
        status: 'ok',
        id: job.id,
        count: 1,
        dimensions: DIMENSIONS,
        workerId: 'bench',
        tier: 'cpu',
        variant: 'none',
        device: 'none',
        queueMs: 0,
        inferenceMs: 0,
      },
      vectors: vector,
    }),
  });
}

async function servePlain(url: string): Promise<void> {
  const { hostname: host, port } = new URL(url);
  const connection = { host, port: Number(port), maxRetriesPerRequest: null };
  const worker = new Worker(
    PLAIN_QUEUE,
    async () => Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64'),
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
