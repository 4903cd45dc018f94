import { encodeTokenIds, type EmbedJob } from '@embergate/contracts/embed-job.ts';
import { AppError, ERROR_KINDS, type ErrorCode } from '@embergate/contracts/errors.ts';
import type { LaneDepth } from '@embergate/contracts/http-cluster.ts';
import { LANES, type Lane, type TierName } from '@embergate/contracts/tiers.ts';
import type { EmbedAnswer, EmbedTransport, SendRequest } from '@embergate/embedding/transport.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { Queue, type Job } from 'bullmq';
import { randomUUID } from 'node:crypto';
import { Admissions } from './admissions.ts';
import type { Redis } from './connection.ts';
import { queueDown } from './connection.ts';
import { Inbox } from './inbox.ts';
import { KEY_PREFIX, SpaceKeys } from './names.ts';
import type { RedisClock } from './redis-clock.ts';

const SWEEP_JOBS = 1_000;
const LOOK_FOR_LOSS_MS = 2_500;
/** An answer may be on its way when its job has just gone. */
const LOOKS_UNTIL_LOST = 2;

/** Sends texts to a lane of a space's tier and waits for the vectors in this process's inbox. */
export class EmbedSender implements EmbedTransport {
  readonly #queues = new Map<string, Queue>();
  readonly #redis: Redis;
  readonly #clock: RedisClock;
  readonly #inbox: Inbox;
  readonly #admissions = new Map<string, Admissions>();

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
    const options = {
      jobId: job.id,
      attempts: 1,
      removeOnComplete: true,
      removeOnFail: true,
      stackTraceLimit: 0,
    };
    const { space, tier, lane, deadlineMs: ttlMs } = request;
    const queue = this.#queue(space, tier, lane);
    const add = (): Promise<unknown> => queue.add('embed', job, options);
    // Queries were admitted before they come here; bulk work always is, and only counted.
    // Not awaited: a queue that hangs must not keep the caller beyond the deadline.
    const adding = lane === 'bulk' ? this.#count({ tier, job, ttlMs }).then(add) : add();
    adding.then(reply.queued, reply.refused);
    const watch = lane === 'bulk' ? this.#watchForLoss(queue, job.id, reply.refused) : undefined;
    try {
      return await reply.promise;
    } catch (error) {
      // Nobody waits for it any more. What a worker has taken, or is still on its way into the lane, cannot be removed; a
      // worker that gets it late finds its place given back.
      queue.remove(job.id).catch(() => undefined);
      if (lane === 'bulk')
        this.#admissionsOf(space)
          .release({ tier, lane, jobId: job.id })
          .catch(() => undefined);
      throw error;
    } finally {
      clearInterval(watch);
    }
  }

  async #count({ tier, job, ttlMs }: { tier: TierName; job: EmbedJob; ttlMs: number }): Promise<void> {
    const place = { tier, lane: 'bulk', jobId: job.id, tokens: job.tokenCount, ttlMs } as const;
    await this.#admissionsOf(job.space).reserve({ ...place, maxReservedTokens: Infinity, breakerText: null });
  }

  /**
   * A server that was killed has forgotten its last second, and a full disk takes no answer. Who waits for minutes must
   * not wait for those: a job that has gone without an answer is lost.
   */
  #watchForLoss(queue: Queue, jobId: string, onLost: (error: AppError) => void): NodeJS.Timeout {
    let missing = 0;
    let looking = false;
    const look = async (): Promise<void> => {
      missing = (await queue.getJobState(jobId)) === 'unknown' ? missing + 1 : 0;
      if (missing < LOOKS_UNTIL_LOST) return;
      onLost(new AppError('queue_down', 'The queue has lost a job.', { details: { isLost: true } }));
    };
    return setInterval(() => {
      // While Redis hangs they would pile up, and then all find the same.
      if (looking) return;
      looking = true;
      look()
        .catch(() => undefined)
        .finally(() => (looking = false));
    }, LOOK_FOR_LOSS_MS);
  }

  /**
   * Removes jobs that nobody takes and nobody waits for: those of a lane whose workers are gone, past their deadline.
   * @returns how many.
   */
  async sweep(space: string, tier: TierName, lane: Lane): Promise<number> {
    const queue = this.#queue(space, tier, lane);
    const now = this.#clock.now();
    let removed = 0;
    for (const job of await queue.getJobs(['wait', 'active'], 0, SWEEP_JOBS, true)) {
      // Undefined for a job that ended while it was read; a job that a worker holds is locked and stays.
      const { deadline } = (job as Job<Partial<EmbedJob>> | undefined)?.data ?? {};
      if (deadline === undefined || deadline > now) continue;
      removed += await queue.remove(String(job.id)).catch(() => 0);
    }
    return removed;
  }

  /** Of the lanes of a space. @throws AppError `queue_down`. */
  async depths(space: string, tiers: readonly TierName[]): Promise<LaneDepth[]> {
    const pairs = tiers.flatMap((tier) => LANES.map((lane) => ({ tier, lane })));
    try {
      return await Promise.all(
        pairs.map(async ({ tier, lane }) => {
          const counts = await this.#queue(space, tier, lane).getJobCounts('wait', 'active');
          const { reservedTokens } = await this.#admissionsOf(space).load(tier, lane);
          return {
            tier,
            lane,
            waiting: counts['wait'] ?? 0,
            active: counts['active'] ?? 0,
            tokens: reservedTokens,
          };
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

  #job({ jobId = randomUUID(), tier, space, inputs, texts, deadlineMs }: SendRequest): EmbedJob {
    const now = this.#clock.now();
    return {
      id: jobId,
      space,
      inputs: inputs.map(encodeTokenIds),
      // Only its workers read them; elsewhere they would be dead weight in the queue.
      ...(tier === 'remote' && texts && { texts: [...texts] }),
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

  #admissionsOf(space: string): Admissions {
    let admissions = this.#admissions.get(space);
    if (!admissions) {
      admissions = new Admissions(this.#redis, space);
      this.#admissions.set(space, admissions);
    }
    return admissions;
  }

  #queue(space: string, tier: TierName, lane: Lane): Queue {
    const name = new SpaceKeys(space).laneQueue(tier, lane);
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
