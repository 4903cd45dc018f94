import { decodeTokenIds } from '@embergate/contracts/embed-job.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { EmbedReceiver } from '@embergate/queue/embed-receiver.ts';
import { HeartbeatSource } from '@embergate/queue/heartbeats.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';

/** As a worker takes bulk jobs. */
const JOBS_AT_A_TIME = 3;

/** Stands for a worker where only what lies around the model is measured: it answers bulk jobs at once, with vectors that mean nothing. */
export class MadeUpWorker {
  readonly #close: () => Promise<void>;

  private constructor(close: () => Promise<void>) {
    this.#close = close;
  }

  static async start(redisUrl: string, space: EmbeddingSpace): Promise<MadeUpWorker> {
    const log = createLogger('bench', 'warn');
    const redis = await connectRedis({ url: redisUrl, patience: 'patient', log });
    const clock = new RedisClock(redis);
    await clock.start();
    const by = { workerId: 'cpu-made-up', tier: 'cpu', variant: 'made-up', device: 'none' } as const;
    const heartbeats = new HeartbeatSource(redis, clock, () => ({
      ...by,
      state: 'ready',
      space: spaceId(space),
      model: space.model,
      fit: { a: 1, b: 0.001 },
      batchTokens: 0,
      alignment: null,
    }));
    await heartbeats.start();
    const receiver = new EmbedReceiver({
      redis,
      clock,
      space: spaceId(space),
      tier: 'cpu',
      lane: 'bulk',
      concurrency: JOBS_AT_A_TIME,
      log,
      handler: async (job) => {
        const vectors = madeUpVectors(job.inputs.map(decodeTokenIds), space.dimensions);
        const made = { count: job.inputs.length, dimensions: space.dimensions, queueMs: 0, inferenceMs: 0 };
        return { meta: { status: 'ok', id: job.id, ...made, ...by }, vectors };
      },
    });
    return new MadeUpWorker(async () => {
      await receiver.close();
      await heartbeats.stop();
      clock.stop();
      redis.disconnect();
    });
  }

  close(): Promise<void> {
    return this.#close();
  }
}

/** Of length one, and different for different texts. */
function madeUpVectors(inputs: readonly Uint32Array[], dimensions: number): Float32Array {
  const vectors = new Float32Array(inputs.length * dimensions);
  inputs.forEach((ids, row) => {
    let state = ids.reduce((hash, id) => (Math.imul(hash, 31) + id) >>> 0, 7);
    const vector = vectors.subarray(row * dimensions, (row + 1) * dimensions);
    for (let at = 0; at < dimensions; at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      vector[at] = state / 2 ** 32 - 0.5;
    }
    const length = Math.hypot(...vector);
    for (let at = 0; at < dimensions; at++) vector[at] = (vector[at] ?? 0) / length;
  });
  return vectors;
}
