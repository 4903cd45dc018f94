import { toAppError } from '@embergate/contracts/errors.ts';
import {
  indexJobPayloadSchema,
  type IndexJobPayload,
  type IndexReport,
} from '@embergate/contracts/index-job.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { WaitingError, Worker, type Job } from 'bullmq';
import { queueDown, type Redis } from './connection.ts';
import { formatFailure } from './index-queue.ts';
import { cancelKey, INDEX_QUEUE_NAME, KEY_PREFIX } from './names.ts';

/**
 * Why an attempt at an index job was aborted: the user's wish; this process stopping (the job then waits for the next
 * indexer); or the queue having taken the job away, as its lock was not renewed in time. A lost attempt undoes
 * nothing: the job, under the same id, is another attempt's now.
 */
export type AbortReason = 'cancelled' | 'stopping' | 'lost';

export interface IndexTask {
  jobId: string;
  payload: IndexJobPayload;
  /** Aborts with an {@link AbortReason}. */
  signal: AbortSignal;
  /** @throws AppError `storage_full`, `queue_down` */
  report: (report: IndexReport) => Promise<void>;
  /** While the job waits for what other jobs can do without, one of those has its place. */
  lendPlace: (isLent: boolean) => void;
}

export interface IndexReceiverOptions {
  redis: Redis;
  concurrency: number;
  /** Settles when the run has been published or, after an abort, everything of the attempt has stopped. */
  handler: (task: IndexTask) => Promise<void>;
  log: Logger;
}

/** One try at a job, from its being handed out until its handler has settled. */
interface Attempt {
  aborter: AbortController;
  ended: Promise<void>;
}

const LOCK_MS = 10_000;
/** Jobs beyond an indexer's own number; each that waits holds a few hundred chunks. */
const MOST_LENT = 8;
const CANCEL_POLL_MS = 500;

/**
 * Takes index jobs. A job whose indexer was killed comes back when its lock has run out, any number of times;
 * one whose indexer stops in order goes back to the queue at once.
 *
 * A lock also runs out while Redis is frozen. Then the attempt is aborted as lost, and the same job is not begun here
 * again before that attempt has ended.
 *
 * A job that lends its place has a BullMQ worker of its own beside it, which takes one job after the other until the place is wanted back,
 * and then ends its last one: raising `concurrency` instead would go unnoticed by a worker all of whose places are taken.
 */
export class IndexReceiver {
  readonly #worker: Worker;
  readonly #options: IndexReceiverOptions;
  readonly #attempts = new Map<string, Attempt>();
  /** By the job whose place each has. */
  readonly #standIns = new Map<string, Worker>();
  readonly #endingStandIns = new Set<Promise<void>>();
  #stopping = false;

  constructor(options: IndexReceiverOptions) {
    this.#options = options;
    this.#worker = this.#takeJobs(options.concurrency);
  }

  #takeJobs(concurrency: number): Worker {
    const { redis, log } = this.#options;
    const worker = new Worker(INDEX_QUEUE_NAME, (job, token) => this.#process(job, token), {
      connection: redis,
      prefix: KEY_PREFIX,
      concurrency,
      lockDuration: LOCK_MS,
      stalledInterval: LOCK_MS / 4,
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      drainDelay: 1,
      runRetryDelay: 500,
    });
    worker.on('error', (error) => log.debug({ err: error }, 'index queue worker'));
    worker.on('lockRenewalFailed', (jobIds) => jobIds.forEach((jobId) => this.#abort(jobId, 'lost')));
    return worker;
  }

  #lendPlace(jobId: string, isLent: boolean): void {
    const standIn = this.#standIns.get(jobId);
    if (isLent) {
      const isFull = this.#standIns.size + this.#endingStandIns.size >= MOST_LENT;
      const isOver = this.#stopping || !this.#attempts.has(jobId);
      if (!standIn && !isFull && !isOver) this.#standIns.set(jobId, this.#takeJobs(1));
    } else if (standIn) {
      this.#standIns.delete(jobId);
      const ending = standIn
        .close()
        .catch((error: unknown) =>
          this.#options.log.warn({ err: error }, 'a place was not given back in order'),
        )
        .finally(() => this.#endingStandIns.delete(ending));
      this.#endingStandIns.add(ending);
    }
  }

  async close(): Promise<void> {
    this.#stopping = true;
    for (const jobId of this.#attempts.keys()) this.#abort(jobId, 'stopping');
    for (const jobId of this.#standIns.keys()) this.#lendPlace(jobId, false);
    await Promise.all([this.#worker.close(), ...this.#endingStandIns]);
  }

  async #process(job: Job, token: string | undefined): Promise<void> {
    // BullMQ may hand out once more the very job that was just given back.
    if (this.#stopping) return this.#giveBack(job, token);
    const jobId = job.id ?? '';
    const earlier = this.#attempts.get(jobId);
    if (earlier) {
      this.#abort(jobId, 'lost');
      await earlier.ended;
      // BullMQ keeps the locks to renew by job id, and has dropped this one with the earlier attempt's: taken once
      // more, the job is renewed again.
      return this.#giveBack(job, token);
    }
    const aborter = new AbortController();
    const ended = Promise.withResolvers<void>();
    this.#attempts.set(jobId, { aborter, ended: ended.promise });
    try {
      await this.#handle(job, aborter.signal);
    } catch (thrown) {
      if (aborter.signal.reason === 'stopping') return await this.#giveBack(job, token);
      if (aborter.signal.reason !== 'lost') throw this.#failure(jobId, thrown);
    } finally {
      this.#attempts.delete(jobId);
      ended.resolve();
    }
    // To BullMQ: this attempt has nothing more to say of the job.
    if (aborter.signal.reason === 'lost') throw new WaitingError();
  }

  async #handle(job: Job, signal: AbortSignal): Promise<void> {
    const jobId = job.id ?? '';
    const watch = setInterval(() => void this.#watchCancel(jobId), CANCEL_POLL_MS);
    try {
      await this.#watchCancel(jobId);
      await this.#options.handler({
        jobId,
        payload: indexJobPayloadSchema.parse(job.data),
        signal,
        report: async (report) => {
          if (signal.reason === 'lost') return;
          await job.updateProgress(report).catch((cause: unknown) => Promise.reject(queueDown(cause)));
        },
        lendPlace: (isLent) => this.#lendPlace(jobId, isLent),
      });
    } finally {
      clearInterval(watch);
      this.#lendPlace(jobId, false);
    }
  }

  #failure(jobId: string, thrown: unknown): Error {
    const error = toAppError(thrown);
    this.#options.log.error({ err: thrown, jobId }, 'index job failed');
    return new Error(formatFailure(error.code, error.message), { cause: thrown });
  }

  async #giveBack(job: Job, token: string | undefined): Promise<never> {
    await job.moveToWait(token);
    throw new WaitingError();
  }

  async #watchCancel(jobId: string): Promise<void> {
    const asked = await this.#options.redis.exists(cancelKey(jobId)).catch(() => 0);
    if (asked === 1) this.#abort(jobId, 'cancelled');
  }

  #abort(jobId: string, reason: AbortReason): void {
    this.#attempts.get(jobId)?.aborter.abort(reason);
  }
}
