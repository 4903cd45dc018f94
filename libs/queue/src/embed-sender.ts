import { encodeTokenIds, type EmbedJob } from '@embergate/contracts/embed-job.ts';
import { AppError, ERROR_KINDS, type ErrorCode } from '@embergate/contracts/errors.ts';
import { LANES, type Lane, type TierName } from '@embergate/contracts/tiers.ts';
import type { EmbedAnswer, EmbedTransport, SendRequest } from '@embergate/embedding/transport.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { Queue } from 'bullmq';
import { randomUUID } from 'node:crypto';
import type { Redis } from './connection.ts';
import { queueDown } from './connection.ts';
import { Inbox } from './inbox.ts';
import { KEY_PREFIX, laneQueueName } from './names.ts';
import type { RedisClock } from './redis-clock.ts';

export interface LaneDepth {
  tier: TierName;
  lane: Lane;
  waiting: number;
  active: number;
}

/** Sends texts to a lane of a tier and waits for the vectors in this process's inbox. */
export class EmbedSender implements EmbedTransport {
  readonly #queues = new Map<string, Queue>();
  readonly #redis: Redis;
  readonly #clock: RedisClock;
  readonly #inbox: Inbox;

  constructor(redis: Redis, clock: RedisClock, log: Logger) {
    this.#redis = redis;
    this.#clock = clock;
    this.#inbox = new Inbox(redis, log);
    this.#inbox.start();
  }

  /**
   * @throws AppError `queue_down` when Redis is away, `deadline_exceeded` when no answer came in time, or the worker's own code.
   */
  async send(request: SendRequest): Promise<EmbedAnswer> {
    request.signal?.throwIfAborted();
    const job = this.#job(request);
    const reply = this.#reply(job.id, request);
    const options = { attempts: 1, removeOnComplete: true, removeOnFail: true, stackTraceLimit: 0 };
    // Not awaited: a queue that hangs must not keep the caller beyond the deadline.
    this.#queue(request.tier, request.lane).add('embed', job, options).then(reply.queued, reply.refused);
    return reply.promise;
  }

  async depths(tiers: readonly TierName[]): Promise<LaneDepth[]> {
    const pairs = tiers.flatMap((tier) => LANES.map((lane) => ({ tier, lane })));
    try {
      return await Promise.all(
        pairs.map(async ({ tier, lane }) => {
          const counts = await this.#queue(tier, lane).getJobCounts('wait', 'active');
          return { tier, lane, waiting: counts['wait'] ?? 0, active: counts['active'] ?? 0 };
        }),
      );
    } catch (error) {
      throw queueDown(error);
    }
  }

  async close(): Promise<void> {
    await this.#inbox.stop();
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
  }

  #job({ space, inputs, deadlineMs }: SendRequest): EmbedJob {
    const now = this.#clock.now();
    return {
      id: randomUUID(),
      space,
      inputs: inputs.map(encodeTokenIds),
      tokenCount: inputs.reduce((sum, ids) => sum + ids.length, 0),
      deadline: now + deadlineMs,
      enqueuedAt: now,
      replyTo: this.#inbox.key,
    };
  }

  /** The wait for one answer: it ends with the answer, the deadline, the caller leaving, or the queue refusing the job. */
  #reply(jobId: string, { deadlineMs, signal }: SendRequest) {
    const { promise, resolve, reject } = Promise.withResolvers<EmbedAnswer>();
    let isQueued = false;
    const settle = (finish: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      this.#inbox.forget(jobId);
      finish();
    };
    const onAbort = (): void => settle(() => reject(signal?.reason as Error));
    const late = (): void => {
      const waited = `within ${Math.round(deadlineMs)} ms`;
      const error = isQueued
        ? new AppError('deadline_exceeded', `No vector came ${waited}.`)
        : queueDown(new Error(`the queue did not take the job ${waited}`));
      settle(() => reject(error));
    };
    const timer = setTimeout(late, deadlineMs);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#inbox.expect(jobId, ({ meta, vectors }) =>
      settle(() =>
        meta.status === 'ok' ? resolve({ meta, vectors }) : reject(workerError(meta.code, meta.message)),
      ),
    );
    return {
      promise,
      queued: () => void (isQueued = true),
      refused: (error: unknown) => settle(() => reject(queueDown(error))),
    };
  }

  #queue(tier: TierName, lane: Lane): Queue {
    const name = laneQueueName(tier, lane);
    let queue = this.#queues.get(name);
    if (!queue) {
      queue = new Queue(name, {
        connection: this.#redis,
        prefix: KEY_PREFIX,
        skipWaitingForReady: true,
        // Nobody reads the lanes' event streams; the inbox is the reply path.
        streams: { events: { maxLen: 100 } },
      });
      queue.on('error', () => undefined); // createRedis logs outages, send() throws them
      this.#queues.set(name, queue);
    }
    return queue;
  }
}

const workerError = (code: string, message: string): AppError =>
  new AppError(code in ERROR_KINDS ? (code as ErrorCode) : 'embedding_failed', message);
