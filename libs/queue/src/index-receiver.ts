import { toAppError } from '@embergate/contracts/errors.ts';
import { indexJobPayloadSchema, type IndexJobPayload } from '@embergate/contracts/index-job.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { WaitingError, Worker, type Job } from 'bullmq';
import type { Redis } from './connection.ts';
import { formatFailure, type IndexReport } from './index-queue.ts';
import { cancelKey, INDEX_QUEUE_NAME, KEY_PREFIX } from './names.ts';

/** Why an index run was aborted: the user's wish, or this process stopping (the job then waits for the next indexer). */
export type AbortReason = 'cancelled' | 'stopping';

export interface IndexTask {
  jobId: string;
  payload: IndexJobPayload;
  /** Aborts with an {@link AbortReason}. */
  signal: AbortSignal;
  report: (report: IndexReport) => Promise<void>;
}

export interface IndexReceiverOptions {
  redis: Redis;
  concurrency: number;
  /** Resolves when the run has been published or, after an abort, cleaned up. */
  handler: (task: IndexTask) => Promise<void>;
  log: Logger;
}

const LOCK_MS = 10_000;
const CANCEL_POLL_MS = 500;

/**
 * Takes index jobs. A job whose indexer was killed comes back when its lock has run out, any number of times;
 * one whose indexer stops in order goes back to the queue at once.
 */
export class IndexReceiver {
  readonly #worker: Worker;
  readonly #options: IndexReceiverOptions;
  readonly #running = new Set<AbortController>();
  #stopping = false;

  constructor(options: IndexReceiverOptions) {
    this.#options = options;
    this.#worker = new Worker(INDEX_QUEUE_NAME, (job, token) => this.#process(job, token), {
      connection: options.redis,
      prefix: KEY_PREFIX,
      concurrency: options.concurrency,
      lockDuration: LOCK_MS,
      stalledInterval: LOCK_MS / 4,
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      drainDelay: 1,
      runRetryDelay: 500,
    });
    this.#worker.on('error', (error) => options.log.debug({ err: error }, 'index queue worker'));
  }

  async close(): Promise<void> {
    this.#stopping = true;
    for (const running of this.#running) running.abort('stopping' satisfies AbortReason);
    await this.#worker.close();
  }

  async #process(job: Job, token: string | undefined): Promise<void> {
    // BullMQ may hand out once more the very job that was just given back.
    if (this.#stopping) return this.#giveBack(job, token);
    const jobId = job.id ?? '';
    const aborter = new AbortController();
    this.#running.add(aborter);
    const watch = setInterval(() => void this.#watchCancel(jobId, aborter), CANCEL_POLL_MS);
    try {
      await this.#watchCancel(jobId, aborter);
      await this.#options.handler({
        jobId,
        payload: indexJobPayloadSchema.parse(job.data),
        signal: aborter.signal,
        report: (report) => job.updateProgress(report),
      });
    } catch (thrown) {
      if (aborter.signal.reason === 'stopping') return await this.#giveBack(job, token);
      const error = toAppError(thrown);
      this.#options.log.error({ err: thrown, jobId }, 'index job failed');
      throw new Error(formatFailure(error.code, error.message), { cause: thrown });
    } finally {
      clearInterval(watch);
      this.#running.delete(aborter);
    }
  }

  async #giveBack(job: Job, token: string | undefined): Promise<never> {
    await job.moveToWait(token);
    throw new WaitingError();
  }

  async #watchCancel(jobId: string, aborter: AbortController): Promise<void> {
    const asked = await this.#options.redis.exists(cancelKey(jobId)).catch(() => 0);
    if (asked === 1) aborter.abort('cancelled' satisfies AbortReason);
  }
}
