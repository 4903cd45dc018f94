import { listOf, problemSchema } from '@embergate/contracts/http-cluster.ts';
import { indexJobSchema, isEnded, type IndexJob } from '@embergate/contracts/index-job.ts';
import { setTimeout as wait } from 'node:timers/promises';
import type { z } from 'zod';
import type { BulkSource } from './bulk-source.ts';
import type { Answer, LoadBalancer } from './load-balancer.ts';

export interface BulkLoadOptions {
  balancer: LoadBalancer;
  source: BulkSource;
  collection: string;
}

export const BULK_REPO = 'bulk';
const CHANGED_SHARE = 0.2;
const POLL_MS = 250;
const ASK_TIMEOUT_MS = 3_000;
/** A job that was interrupted goes on when its lock has run out; several times in a row, at worst. */
const JOB_TIMEOUT_MS = 180_000;

/** Index jobs of one source, one after the other for as long as the campaign lasts: incremental and full in turn. */
export class BulkLoad {
  readonly #options: BulkLoadOptions;
  #running: Promise<void> | undefined;
  #stopping = false;

  constructor(options: BulkLoadOptions) {
    this.#options = options;
  }

  /** Resolves when the first job has ended: from then on searches find something. */
  async start(): Promise<void> {
    await this.#options.source.write();
    await this.#indexOnce('incremental');
    this.#running = this.#loop();
    this.#running.catch(() => undefined); // stop() throws it
  }

  /**
   * Ends after the current job and one more, which leaves the index as the folder is.
   * @returns every job that the queue knows, those included that a frozen gateway began late.
   * @throws when a job did not end in time.
   */
  async stop(): Promise<IndexJob[]> {
    this.#stopping = true;
    await this.#running;
    for (const job of await this.#jobs()) if (!isEnded(job.state)) await this.#ended(job.id);
    await this.#indexOnce('incremental');
    return this.#jobs();
  }

  async #loop(): Promise<void> {
    for (let round = 1; !this.#stopping; round++) {
      await this.#options.source.change(CHANGED_SHARE);
      await this.#indexOnce(round % 2 === 0 ? 'incremental' : 'full');
    }
  }

  async #indexOnce(mode: 'incremental' | 'full'): Promise<void> {
    const { source, collection } = this.#options;
    const body = {
      source: { type: 'directory', path: source.root },
      collection,
      repo: BULK_REPO,
      mode,
    };
    const until = performance.now() + JOB_TIMEOUT_MS;
    while (performance.now() < until) {
      const answer = await this.#ask('POST', '/v1/index-jobs', body);
      if (answer?.status === 202) return this.#ended(indexJobSchema.parse(JSON.parse(answer.text)).id);
      // A gateway that was frozen may have begun a job that nobody waited for any more: this one comes after it.
      const problem = answer && problemSchema.loose().parse(JSON.parse(answer.text));
      if (problem?.code === 'job_running') await this.#ended(String(problem['jobId']));
      else await wait(POLL_MS);
    }
    throw new Error(`no index job could be created within ${JOB_TIMEOUT_MS} ms`);
  }

  async #ended(id: string): Promise<void> {
    const until = performance.now() + JOB_TIMEOUT_MS;
    while (performance.now() < until) {
      const job = await this.#get(`/v1/index-jobs/${id}`, indexJobSchema);
      if (job && isEnded(job.state)) return;
      await wait(POLL_MS);
    }
    throw new Error(`index job ${id} did not end within ${JOB_TIMEOUT_MS} ms`);
  }

  async #jobs(): Promise<IndexJob[]> {
    for (;;) {
      const list = await this.#get('/v1/index-jobs?limit=1000', listOf(indexJobSchema));
      if (list) return list.data;
      await wait(POLL_MS);
    }
  }

  async #get<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
    const answer = await this.#ask('GET', path);
    return answer?.status === 200 ? schema.parse(JSON.parse(answer.text)) : null;
  }

  async #ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer | null> {
    const giveUpAt = performance.now() + ASK_TIMEOUT_MS;
    return this.#options.balancer.ask({
      method,
      path,
      body: body === undefined ? undefined : () => body,
      giveUpAt,
    });
  }
}
