import {
  embedJobSchema,
  encodeEmbedReply,
  type EmbedJob,
  type EmbedReply,
} from '@embergate/contracts/embed-job.ts';
import { toAppError } from '@embergate/contracts/errors.ts';
import type { Lane, TierName } from '@embergate/contracts/tiers.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { Worker, type Job } from 'bullmq';
import { Admissions } from './admissions.ts';
import type { Redis } from './connection.ts';
import { KEY_PREFIX, SpaceKeys } from './names.ts';
import { Outbox } from './outbox.ts';
import type { RedisClock } from './redis-clock.ts';

/** Computes the answer to a job. What it throws becomes an error reply. */
export type EmbedHandler = (job: EmbedJob, lane: Lane) => Promise<EmbedReply>;

export interface EmbedReceiverOptions {
  redis: Redis;
  clock: RedisClock;
  /** Id of the space that the worker embeds in. */
  space: string;
  tier: TierName;
  lane: Lane;
  /** Jobs taken at a time, to begin with. */
  concurrency: number;
  /** Takes no jobs before resume(). Default: takes them at once. */
  isPaused?: boolean;
  handler: EmbedHandler;
  log: Logger;
}

/** A frozen worker may have swallowed the wake-up of a job; others look for themselves this often (seconds). */
const DRAIN_DELAY_SECONDS = 0.1;
const LOCK_MS = 10_000;
/**
 * After an idle moment BullMQ fetches one job after the other, a round trip each: of queries that come together the last
 * would wait for all of these, so two fetch.
 */
const FETCHERS = { query: 2, bulk: 1 } as const satisfies Record<Lane, number>;
/** A query that has waited for less is not asked about: the question costs a round trip. */
const FRESH_MS = 50;

/**
 * Takes the jobs of one lane and answers each on its sender's inbox, before BullMQ is told that the job is done.
 * A query job is never tried twice by the queue: its sender decides. A bulk job of a killed worker goes to another one.
 */
export class EmbedReceiver {
  readonly #workers: readonly Worker[];
  readonly #options: EmbedReceiverOptions;
  readonly #outbox: Outbox;
  readonly #admissions: Admissions;

  constructor(options: EmbedReceiverOptions) {
    this.#options = options;
    const { redis, space, tier, lane, concurrency, isPaused = false, log } = options;
    this.#outbox = new Outbox(redis, { space, tier, lane });
    this.#admissions = new Admissions(redis, space);
    const fetchers = Math.min(FETCHERS[lane], concurrency);
    this.#workers = Array.from({ length: fetchers }, () => {
      const worker = new Worker(new SpaceKeys(space).laneQueue(tier, lane), (job) => this.#process(job), {
        connection: redis,
        prefix: KEY_PREFIX,
        concurrency: Math.ceil(concurrency / fetchers),
        autorun: !isPaused,
        drainDelay: DRAIN_DELAY_SECONDS,
        lockDuration: LOCK_MS,
        stalledInterval: LOCK_MS / 2,
        maxStalledCount: lane === 'bulk' ? Number.MAX_SAFE_INTEGER : 0,
        runRetryDelay: 200,
        removeOnComplete: { count: 0 },
        removeOnFail: { count: 0 },
      });
      worker.on('error', (error) => log.debug({ err: error, lane }, 'queue worker'));
      return worker;
    });
  }

  /** @param jobs to take at a time from now on; more than what fits two batches would be hoarded from other workers. */
  setConcurrency(jobs: number): void {
    const share = Math.ceil(jobs / this.#workers.length);
    for (const worker of this.#workers) if (worker.concurrency !== share) worker.concurrency = share;
  }

  /** Takes no more jobs; those under way go on. */
  async pause(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.pause(true)));
  }

  /** Takes jobs again. */
  resume(): void {
    for (const worker of this.#workers) void worker.resume();
  }

  /** Stops taking jobs and waits for those under way. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close()));
  }

  async #process(bullJob: Job): Promise<void> {
    const job = embedJobSchema.parse(bullJob.data);
    const { log } = this.#options;
    if (!(await this.#isWanted(job))) return;
    const frame = encodeEmbedReply(await this.#answer(job));
    try {
      const isTaken = await this.#outbox.answer({ inbox: job.replyTo, jobId: job.id, frame });
      if (!isTaken) log.debug({ jobId: job.id }, 'the sender of a job is gone');
    } catch (error) {
      log.error({ err: error, jobId: job.id }, 'a reply was lost');
    }
  }

  /**
   * Nobody waits for a job past its deadline, or whose place is gone because its caller left: computing it would only delay
   * others.
   */
  async #isWanted({ id: jobId, deadline, enqueuedAt }: EmbedJob): Promise<boolean> {
    const { clock, tier, lane } = this.#options;
    const now = clock.now();
    if (deadline <= now) return false;
    const isFresh = lane === 'query' && now - enqueuedAt < FRESH_MS;
    return isFresh || this.#admissions.holds({ tier, lane, jobId });
  }

  async #answer(job: EmbedJob): Promise<EmbedReply> {
    try {
      return await this.#options.handler(job, this.#options.lane);
    } catch (thrown) {
      const error = toAppError(thrown);
      this.#options.log[error.kind.logLevel]({ err: error, jobId: job.id }, 'job failed');
      return {
        meta: { status: 'error', id: job.id, code: error.code, message: error.message },
        vectors: new Float32Array(0),
      };
    }
  }
}
