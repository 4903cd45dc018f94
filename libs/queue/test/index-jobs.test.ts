import { AppError } from '@embergate/contracts/errors.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Redis } from '../src/connection.ts';
import { IndexQueue } from '../src/index-queue.ts';
import { IndexReceiver, type IndexTask } from '../src/index-receiver.ts';
import { log } from './fake-model.ts';
import { QueueOnRedis } from './queue-on-redis.ts';

describe('index jobs over a real queue', () => {
  let queue: QueueOnRedis;
  beforeAll(async () => (queue = await QueueOnRedis.start('index-jobs')));
  afterAll(() => queue.stop());
  afterEach(() => queue.clear());

  const payload = {
    source: { type: 'directory', path: '/p' },
    collection: 'c',
    repo: 'r',
    mode: 'incremental',
  } as const;

  async function indexQueue(keep?: { count: number; days: number }): Promise<IndexQueue> {
    const made = new IndexQueue(await queue.connect('fail-fast'), keep);
    queue.afterwards(() => made.close());
    return made;
  }
  async function indexer(
    handler: (task: IndexTask) => Promise<void>,
    concurrency = 1,
  ): Promise<IndexReceiver> {
    const redis = await queue.connect('patient');
    const made = new IndexReceiver({ redis, concurrency, handler, log });
    queue.afterwards(() => made.close());
    return made;
  }
  const lockOf = async (id: string, redis: Redis): Promise<string> =>
    (await redis.keys('*:lock')).find((key) => key.includes(id)) ?? '';
  const untilAborted = (signal: AbortSignal) =>
    new Promise<never>((_resolve, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason as Error)),
    );

  it('one repo has one job at a time, another repo its own', async () => {
    const jobs = await indexQueue();
    const first = await jobs.add(payload);
    await expect(jobs.add(payload)).rejects.toMatchObject({
      code: 'job_running',
      details: { jobId: first.id },
    });
    await expect(jobs.add({ ...payload, repo: 'other' })).resolves.toMatchObject({ state: 'queued' });
    await expect(jobs.get('job-of-nobody')).rejects.toMatchObject({ code: 'job_not_found' });
  });

  it('a collection is free to be deleted when none of its jobs goes on', async () => {
    const jobs = await indexQueue();
    const { id } = await jobs.add(payload);
    await expect(jobs.expectNoneIn('c')).rejects.toMatchObject({
      code: 'job_running',
      details: { jobId: id },
    });
    await jobs.expectNoneIn('another');
    await jobs.cancel(id);
    await jobs.expectNoneIn('c');
  });

  it('a move of a collection goes with no other job of it, and jobs of other collections with it', async () => {
    const jobs = await indexQueue();
    const move = { ...payload, repo: '*', source: { type: 'collection' as const, models: ['m'] } };
    const { id } = await jobs.add(payload);
    await expect(jobs.add(move)).rejects.toMatchObject({ code: 'job_running', details: { jobId: id } });
    await jobs.cancel(id);
    const moving = await jobs.add(move);
    const inTheWay = { code: 'job_running', details: { jobId: moving.id } };
    await expect(jobs.add(payload)).rejects.toMatchObject(inTheWay);
    await expect(jobs.add(move)).rejects.toMatchObject(inTheWay);
    await expect(jobs.add({ ...payload, collection: 'another' })).resolves.toMatchObject({
      state: 'queued',
    });
    await jobs.cancel(moving.id);
    await expect(jobs.add(payload)).resolves.toMatchObject({ state: 'queued' });
  });

  it('whoever adds many jobs is passed by who adds one: callers and collections take turns', async () => {
    const jobs = await indexQueue();
    const named = async (repo: string, by: string, collection = 'c') =>
      jobs.add({ ...payload, repo, collection }, by);
    for (let n = 0; n < 4; n++) await named(`many-${n}`, 'busy');
    await named('one', 'modest');
    for (let n = 0; n < 2; n++) await named(`other-${n}`, 'busy', 'd');
    const order: string[] = [];
    const done = Promise.withResolvers<void>();
    await indexer(async ({ payload: { repo } }) => {
      order.push(repo);
      if (order.length === 3) await named('two', 'modest');
      if (order.length === 11) done.resolve();
      if (order.length !== 8) return;
      // Nobody waits any more: what anybody had before counts no longer.
      for (const next of ['a', 'b']) await named(next, 'modest');
      await named('again', 'busy');
    });
    await done.promise;
    const first = ['many-0', 'one', 'other-0', 'many-1', 'other-1', 'two', 'many-2', 'many-3'];
    expect(order).toEqual([...first, 'a', 'again', 'b']);
  });

  it('an indexer works on as many at a time as it may, and leaves the others to another one', async () => {
    const jobs = await indexQueue();
    for (let n = 0; n < 6; n++) await jobs.add({ ...payload, repo: `repo-${n}` });
    const release = Promise.withResolvers<void>();
    let [held, others] = [0, 0];
    await indexer(async () => {
      held += 1;
      await release.promise;
    }, 2);
    await eventually('it has two jobs', () => held === 2);
    await indexer(async () => void (others += 1));
    await eventually('the other one has done the rest', () => others === 4);
    expect(held).toBe(2);
    release.resolve();
  });

  it('a job that waits lends its place to one after the other, and to none any more once it goes on', async () => {
    const jobs = await indexQueue();
    const waiting = Promise.withResolvers<IndexTask>();
    const [ready, last] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const order: string[] = [];
    await indexer(async (task) => {
      const { repo } = task.payload;
      order.push(`${repo} begins`);
      if (repo === 'waits') {
        task.lendPlace(true);
        task.lendPlace(true);
        waiting.resolve(task);
        await ready.promise;
      }
      if (repo === 'b') await last.promise;
      order.push(`${repo} ends`);
    });
    const idOf = new Map<string, string>();
    const stateOf = async (repo: string) => (await jobs.get(idOf.get(repo) ?? '')).state;
    for (const repo of ['waits', 'a', 'b', 'c']) idOf.set(repo, (await jobs.add({ ...payload, repo })).id);
    const task = await waiting.promise;
    await eventually('the second one has the place', () => order.includes('b begins'));
    // Back again, while that one is at work: both go on, and nobody else begins.
    task.lendPlace(false);
    last.resolve();
    await eventually('it has ended', async () => (await stateOf('b')) === 'completed');
    expect(await stateOf('c')).toBe('queued');
    ready.resolve();
    await eventually('all have ended', () => order.includes('c ends'));
    expect(order.filter((what) => what !== 'a begins' && what !== 'a ends')).toEqual([
      'waits begins',
      'b begins',
      'b ends',
      'waits ends',
      'c begins',
      'c ends',
    ]);
  });

  it('an indexer that stops gives back the job that waits and the one that has its place', async () => {
    const jobs = await indexQueue();
    const begun: string[] = [];
    const stopping = await indexer(async ({ payload: { repo }, signal, lendPlace }) => {
      begun.push(repo);
      lendPlace(true);
      await untilAborted(signal);
    });
    const added = [];
    for (let n = 0; n < 12; n++) added.push(await jobs.add({ ...payload, repo: `repo-${n}` }));
    // Its own, and eight that have places of others: of twelve that wait, no more are held.
    await eventually('nine are under way', () => begun.length === 9);
    await stopping.close();
    const states = await Promise.all(added.map(async ({ id }) => (await jobs.get(id)).state));
    expect(states).toEqual(added.map(() => 'queued'));
    expect(begun).toHaveLength(9);
  });

  it('of jobs that have ended the last ones are shown, as many as are kept', async () => {
    const jobs = await indexQueue({ count: 2, days: 1 });
    await indexer(({ payload: { repo } }) =>
      repo === 'bad' ? Promise.reject(new AppError('git_failed', 'no')) : Promise.resolve(),
    );
    for (const repo of ['one', 'two', 'three']) {
      const { id } = await jobs.add({ ...payload, repo });
      await eventually('the job has ended', async () => (await jobs.get(id)).state === 'completed');
    }
    const { id } = await jobs.add({ ...payload, repo: 'bad' });
    await eventually('the job has failed', async () => (await jobs.get(id)).state === 'failed');
    const kept = (await jobs.list(10)).map(({ repo }) => repo).sort();
    expect(kept).toEqual(['bad', 'three', 'two']);
  });

  it('a job that failed says why, and may be tried again', async () => {
    const jobs = await indexQueue();
    await indexer(() => Promise.reject(new AppError('git_failed', 'no such ref: x')));
    const { id } = await jobs.add(payload);
    const ended = await eventually('the job fails', async () => {
      const job = await jobs.get(id);
      return job.state === 'failed' && job;
    });
    expect(ended.error).toEqual({ code: 'git_failed', message: 'no such ref: x' });
    expect((await jobs.add(payload)).id).not.toBe(id);
  });

  it('an indexer that stops gives its job back, and the next indexer goes on with the same one', async () => {
    const jobs = await indexQueue();
    const taken = Promise.withResolvers<void>();
    const stopping = await indexer(({ signal }) => {
      taken.resolve();
      return untilAborted(signal);
    });
    const { id } = await jobs.add(payload);
    await taken.promise;
    await stopping.close();
    expect((await jobs.get(id)).state).toBe('queued');
    const again = Promise.withResolvers<string>();
    await indexer(({ jobId }) => Promise.resolve(again.resolve(jobId)));
    expect(await again.promise).toBe(id);
  });

  it('a job whose lock ran out while Redis was frozen is begun again only when its first attempt has ended', async () => {
    const jobs = await indexQueue();
    const redis = await queue.connect('patient');
    const unwound = Promise.withResolvers<void>();
    const begun: IndexTask[] = [];
    const reasons: unknown[] = [];
    await indexer(async (task) => {
      begun.push(task);
      const { progress } = await jobs.get(task.jobId);
      if (begun.length > 1) return;
      await untilAborted(task.signal).catch((reason: unknown) => reasons.push(reason));
      await unwound.promise;
      await task.report({
        state: 'running',
        progress,
        skippedFiles: [],
        commit: 'of the lost attempt',
        waitingFor: null,
      });
      task.signal.throwIfAborted();
    }, 2);
    const { id } = await jobs.add(payload);
    await eventually('it runs', () => begun.length === 1);
    const lock = await lockOf(id, redis);
    expect(await redis.del(lock)).toBe(1);
    await eventually('the attempt is told', () => reasons.length === 1);
    await eventually('the job is handed out again', () => redis.exists(lock).then(Boolean), 60_000);
    expect(begun).toHaveLength(1);
    unwound.resolve();
    const job = await eventually('it completes', async () => {
      const now = await jobs.get(id);
      return now.state === 'completed' && now;
    });
    expect(begun).toHaveLength(2);
    expect(reasons).toEqual(['lost']);
    // What the lost attempt still said was not heard.
    expect(job).toMatchObject({ commit: null, error: null });
  });

  it('an indexer with room for one job stops working on it when its lock has run out, and may get it again', async () => {
    const jobs = await indexQueue();
    const redis = await queue.connect('patient');
    let begun = 0;
    const reasons: unknown[] = [];
    await indexer(async ({ signal }) => {
      begun += 1;
      if (begun > 1) return;
      await untilAborted(signal).catch((reason: unknown) => reasons.push(reason));
      signal.throwIfAborted();
    });
    const { id } = await jobs.add(payload);
    await eventually('it runs', () => begun === 1);
    await redis.del(await lockOf(id, redis));
    await eventually('it completes', async () => (await jobs.get(id)).state === 'completed');
    expect([begun, reasons]).toEqual([2, ['lost']]);
  });

  it('a job that is cancelled ends, whether it runs or waits', async () => {
    const jobs = await indexQueue();
    const waiting = await jobs.add({ ...payload, repo: 'waits' });
    expect((await jobs.cancel(waiting.id)).state).toBe('cancelled');
    const ended: unknown[] = [];
    await indexer(async ({ signal, report }) => {
      const state = {
        progress: (await jobs.get(waiting.id)).progress,
        skippedFiles: [],
        commit: null,
        waitingFor: null,
      };
      if (!signal.aborted) await untilAborted(signal).catch((reason: unknown) => ended.push(reason));
      await report({ state: 'cancelled', ...state });
    });
    const running = await jobs.add(payload);
    await eventually('it runs', async () => (await jobs.get(running.id)).state === 'running');
    await jobs.cancel(running.id);
    await eventually('it has ended', async () => (await jobs.get(running.id)).state === 'cancelled');
    expect(ended).toEqual(['cancelled']);
    await expect(jobs.cancel(running.id)).rejects.toMatchObject({ code: 'job_finished' });
  });
});
