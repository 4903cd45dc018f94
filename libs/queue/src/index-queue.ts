import { AppError } from '@embergate/contracts/errors.ts';
import {
  ALL_REPOS,
  emptyProgress,
  indexJobPayloadSchema,
  indexReportSchema,
  isEnded,
  type IndexJob,
  type IndexJobPayload,
  type IndexJobState,
  type IndexReport,
} from '@embergate/contracts/index-job.ts';
import { Queue, type Job } from 'bullmq';
import { randomBytes } from 'node:crypto';
import { queueDown, type Redis } from './connection.ts';
import { cancelKey, INDEX_QUEUE_NAME, INDEX_TURNS_KEY, KEY_PREFIX } from './names.ts';

/** Of ended jobs: so many at most, and none older. */
export interface KeptJobs {
  count: number;
  days: number;
}

const DEFAULT_KEPT: KeptJobs = { count: 1_000, days: 30 };
const SECONDS_A_DAY = 86_400;
/** BullMQ's; jobs that wait are a sorted set, in which a priority's jobs are ordered by what is added to this much of it. */
const MAX_PRIORITY = 2_097_152;
const SCORES_A_PRIORITY = 2 ** 32;
const CANCEL_TTL_SECONDS = 7 * 24 * 3_600;

const UNENDED = ['active', 'wait', 'delayed', 'prioritized'] as const;

/** One job at a time a collection and repo. A move is a job of no repo, under a name that stands for all of them. */
const deduplicationId = (payload: { collection: string; repo: string }): string =>
  JSON.stringify([payload.collection, payload.repo]);

/** The gateway's side of the `index` queue: add, look, cancel. */
export class IndexQueue {
  readonly #queue: Queue;
  readonly #redis: Redis;
  readonly #kept: { count: number; age: number };

  constructor(redis: Redis, { count, days }: KeptJobs = DEFAULT_KEPT) {
    this.#redis = redis;
    this.#kept = { count, age: days * SECONDS_A_DAY };
    this.#queue = new Queue(INDEX_QUEUE_NAME, {
      connection: redis,
      prefix: KEY_PREFIX,
      skipWaitingForReady: true,
      streams: { events: { maxLen: 100 } },
    });
    this.#queue.on('error', () => undefined); // createRedis logs outages, calls throw them
  }

  /**
   * Jobs of one caller and collection are done in order, and those of several in turns: whoever adds a thousand is passed by who adds one.
   *
   * @param by whose jobs they are: the name of an API key.
   * @throws AppError `job_running` with the other job's id when one for the same collection and repo has not ended. A
   * move of a collection goes with no other job of it.
   */
  async add(payload: IndexJobPayload, by = ''): Promise<IndexJob> {
    return this.#reach(async () => {
      const inTheWay = await this.#inTheWayOf(payload);
      if (inTheWay) throw running(inTheWay);
      const id = `job-${randomBytes(8).toString('hex')}`;
      const group = JSON.stringify([by, payload.collection]);
      const priority = await this.#turnOf(group);
      const job = await this.#queue.add(group, indexJobPayloadSchema.parse(payload), {
        jobId: id,
        priority,
        deduplication: { id: deduplicationId(payload) },
        attempts: 1,
        removeOnComplete: this.#kept,
        removeOnFail: this.#kept,
      });
      // BullMQ answers with the id of the job that is there already.
      if (job.id !== id) throw running({ id: job.id ?? '', source: payload.source, repo: payload.repo });
      await this.#redis.hset(INDEX_TURNS_KEY, group, priority);
      // Another gateway may have added one meanwhile, which has not seen this one.
      const meanwhile = await this.#inTheWayOf(payload, id);
      if (meanwhile) {
        await this.cancel(id);
        throw running(meanwhile);
      }
      return this.get(id);
    });
  }

  /** A move in the way of an index run, or any job in the way of a move. */
  async #inTheWayOf({ collection, source }: IndexJobPayload, ownId?: string): Promise<IndexJob | undefined> {
    if (source.type !== 'collection') {
      const moveId = await this.#queue.getDeduplicationJobId(
        deduplicationId({ collection, repo: ALL_REPOS }),
      );
      const job = moveId ? await this.#queue.getJob(moveId) : undefined;
      const move = job && (await this.#describe(job));
      return move?.source.type === 'collection' && !isEnded(move.state) ? move : undefined;
    }
    return (await this.#unendedIn(collection)).find(({ id }) => id !== ownId);
  }

  async #unendedIn(collection: string): Promise<IndexJob[]> {
    const jobs = await this.#queue.getJobs([...UNENDED]);
    const described = await Promise.all(
      jobs
        .filter((job) => job && indexJobPayloadSchema.parse(job.data).collection === collection)
        .map((job) => this.#describe(job)),
    );
    return described.filter(({ state }) => !isEnded(state));
  }

  /** @throws AppError `job_running` with the id of a job of that collection that has not ended. */
  async expectNoneIn(collection: string): Promise<void> {
    await this.#reach(async () => {
      const [job] = await this.#unendedIn(collection);
      if (job) throw running(job);
    });
  }

  async get(id: string): Promise<IndexJob> {
    return this.#reach(async () => {
      const job = await this.#queue.getJob(id);
      if (!job) throw new AppError('job_not_found', `There is no index job ${JSON.stringify(id)}.`);
      return this.#describe(job);
    });
  }

  /** Whether there is a job of that id that somebody works on, or will. @throws AppError `queue_down`. */
  async isUnended(id: string): Promise<boolean> {
    return this.#reach(async () => {
      const job = await this.#queue.getJob(id);
      return job !== undefined && !isEnded((await this.#describe(job)).state);
    });
  }

  /** Newest first. */
  async list(limit: number): Promise<IndexJob[]> {
    return this.#reach(async () => {
      const jobs = await this.#queue.getJobs(
        ['active', 'wait', 'prioritized', 'delayed', 'completed', 'failed'],
        0,
        limit - 1,
      );
      const described = await Promise.all(jobs.filter(Boolean).map((job) => this.#describe(job)));
      return described.sort((a, b) => b.createdAt.localeCompare(a.createdAt)).slice(0, limit);
    });
  }

  /** Asks for an end; a running job notices within a second. */
  async cancel(id: string): Promise<IndexJob> {
    return this.#reach(async () => {
      const job = await this.get(id);
      if (isEnded(job.state)) throw new AppError('job_finished', `Job ${id} has ended: ${job.state}.`);
      await this.#redis.set(cancelKey(id), '1', 'EX', CANCEL_TTL_SECONDS);
      if (job.state === 'queued') await this.#queue.removeDeduplicationKey(deduplicationId(job));
      return this.get(id);
    });
  }

  async close(): Promise<void> {
    await this.#queue.close();
  }

  /** A group's next job comes after its last one, and not before what is due now. Where nothing waits, turns begin anew. */
  async #turnOf(group: string): Promise<number> {
    const [, first] = await this.#redis.zrange(this.#queue.toKey('prioritized'), '0', '0', 'WITHSCORES');
    if (first === undefined) {
      await this.#redis.del(INDEX_TURNS_KEY);
      return 1;
    }
    const due = Math.floor(Number(first) / SCORES_A_PRIORITY);
    const last = Number(await this.#redis.hget(INDEX_TURNS_KEY, group));
    return Math.min(Math.max(due, last + 1), MAX_PRIORITY);
  }

  async #describe(found: Job): Promise<IndexJob> {
    const [bullState, cancelled] = await Promise.all([
      found.getState(),
      this.#redis.exists(cancelKey(found.id ?? '')),
    ]);
    // It may have ended after it was read: why, and what it came to, was written with its end.
    const hasEnded = bullState === 'completed' || bullState === 'failed';
    const isOld = hasEnded && found.finishedOn === undefined;
    const job = (isOld ? await this.#queue.getJob(found.id ?? '') : undefined) ?? found;
    const report = indexReportSchema.safeParse(job.progress);
    const payload = indexJobPayloadSchema.parse(job.data);
    const time = (ms: number | undefined): string | null =>
      ms === undefined ? null : new Date(ms).toISOString();
    return {
      id: job.id ?? '',
      state: jobState(bullState, report.data?.state, cancelled === 1),
      collection: payload.collection,
      repo: payload.repo,
      source: payload.source,
      mode: payload.mode,
      progress: report.data?.progress ?? emptyProgress(),
      skippedFiles: report.data?.skippedFiles ?? [],
      commit: report.data?.commit ?? null,
      waitingFor: bullState === 'active' ? (report.data?.waitingFor ?? null) : null,
      estimateOnly: payload.estimateOnly ?? false,
      estimate: report.data?.estimate ?? null,
      warnings: report.data?.warnings ?? [],
      error: bullState === 'failed' ? parseFailure(job.failedReason) : null,
      createdAt: new Date(job.timestamp).toISOString(),
      startedAt: time(job.processedOn),
      finishedAt: time(job.finishedOn),
    };
  }

  async #reach<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw queueDown(error);
    }
  }
}

const running = ({ id, repo, source }: Pick<IndexJob, 'id' | 'repo' | 'source'>): AppError => {
  const what = source.type === 'collection' ? 'which moves the collection' : `for repo "${repo}"`;
  return new AppError('job_running', `Job ${id} ${what} has not ended.`, { details: { jobId: id } });
};

function jobState(
  bull: string,
  reported: IndexReport['state'] | undefined,
  cancelAsked: boolean,
): IndexJobState {
  if (bull === 'completed') return reported === 'cancelled' ? 'cancelled' : 'completed';
  if (bull === 'failed') return 'failed';
  if (bull === 'active') return reported === 'publishing' ? 'publishing' : 'running';
  return cancelAsked ? 'cancelled' : 'queued';
}

/** BullMQ keeps a failure as one string; ours is `code: message`. */
export const formatFailure = (code: string, message: string): string => `${code}: ${message}`;

function parseFailure(reason: string | undefined): { code: string; message: string } {
  const match = /^([a-z_]+): (.*)$/s.exec(reason ?? '');
  return match
    ? { code: match[1] ?? 'index_failed', message: match[2] ?? '' }
    : { code: 'index_failed', message: reason ?? 'unknown' };
}
