import type { EmbedJob, EmbedReply } from '@embergate/contracts/embed-job.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import type { Heartbeat, Lane } from '@embergate/contracts/tiers.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { Admissions } from '../src/admissions.ts';
import { connectRedis, type Redis } from '../src/connection.ts';
import { EmbedReceiver, type EmbedHandler } from '../src/embed-receiver.ts';
import { EmbedSender } from '../src/embed-sender.ts';
import { HeartbeatSource, HeartbeatWatch } from '../src/heartbeats.ts';
import { IndexQueue } from '../src/index-queue.ts';
import { IndexReceiver, type IndexTask } from '../src/index-receiver.ts';
import { RedisClock } from '../src/redis-clock.ts';
import { startRedisServer, type RedisServer } from '../src/redis-server.ts';

const log = createLogger('test', 'silent');

describe('jobs and answers over a real queue', () => {
  let server: RedisServer;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let release: (() => unknown)[];

  beforeAll(async () => {
    folder = await temporaryFolder('queue');
    server = await startRedisServer({ binary: inject('redisServer'), dataDir: folder.path, log });
  });
  afterAll(async () => {
    await server.stop();
    await folder.remove();
  });
  beforeEach(() => {
    release = [];
  });
  afterEach(async () => {
    for (const give of release.reverse()) await give();
    const redis = await connect('patient');
    await redis.flushall();
    redis.disconnect();
  });

  async function connect(patience: 'fail-fast' | 'patient'): Promise<Redis> {
    return connectRedis({ url: server.url, patience, log });
  }
  async function clockOf(redis: Redis): Promise<RedisClock> {
    const clock = new RedisClock(redis);
    await clock.start();
    release.push(() => clock.stop());
    return clock;
  }
  async function sender() {
    const redis = await connect('fail-fast');
    release.push(() => redis.disconnect());
    const made = new EmbedSender(redis, await clockOf(redis), log);
    release.push(() => made.close());
    const admissions = new Admissions(redis);
    const send: EmbedSender['send'] = async (wanted) => {
      // A query is computed only while its place is reserved.
      const jobId = randomUUID();
      const { tier, deadlineMs: ttlMs } = wanted;
      const anyLoad = { maxReservedTokens: 1e9, breakerText: '' };
      await admissions.reserve({ tier, lane: wanted.lane, jobId, tokens: 1, ttlMs, ...anyLoad });
      return made.send({ jobId, ...wanted });
    };
    return { send, admissions };
  }
  async function receiver(lane: Lane, handler: EmbedHandler): Promise<EmbedReceiver> {
    const redis = await connect('patient');
    release.push(() => redis.disconnect());
    const made = new EmbedReceiver({
      redis,
      clock: await clockOf(redis),
      admissions: new Admissions(redis),
      tier: 'cpu',
      lane,
      concurrency: 8,
      handler,
      log,
    });
    release.push(() => made.close());
    return made;
  }
  const request = (id: number, deadlineMs = 5_000) =>
    ({ tier: 'cpu', lane: 'query', space: 's', inputs: [new Uint32Array([id])], deadlineMs }) as const;
  const answer = (job: EmbedJob, value: number): EmbedReply => ({
    meta: {
      status: 'ok',
      id: job.id,
      count: 1,
      dimensions: 1,
      workerId: 'w',
      tier: 'cpu',
      variant: 'v',
      device: 'cpu',
      queueMs: 0,
      inferenceMs: 1,
    },
    vectors: new Float32Array([value]),
  });
  const echo: EmbedHandler = (job) =>
    Promise.resolve(answer(job, Buffer.from(job.inputs[0] ?? '', 'base64').readUInt32LE()));

  it('every caller gets the vectors of its own texts, a thousand of them at once from two senders', async () => {
    await receiver('query', echo);
    const senders = [await sender(), await sender()];
    const ids = Array.from({ length: 1_000 }, (_, id) => id);
    const answers = await Promise.all(
      ids.map((id) => (senders[id % 2] as (typeof senders)[0]).send(request(id))),
    );
    expect(answers.map((got) => got.vectors[0])).toEqual(ids);
    // Nothing stays behind: neither jobs nor answers.
    const redis = await connect('patient');
    const keys = await redis.keys('*');
    for (const inbox of keys.filter((key) => key.includes(':inbox:')))
      expect(await redis.xlen(inbox)).toBeLessThanOrEqual(1);
    expect(keys.filter((key) => /:[0-9]+$/.test(key))).toEqual([]);
    redis.disconnect();
  });

  it('a worker’s typed error reaches the caller as the same error', async () => {
    await receiver('query', () => Promise.reject(new AppError('space_mismatch', 'another space')));
    await expect((await sender()).send(request(1))).rejects.toMatchObject({
      code: 'space_mismatch',
      message: 'another space',
    });
  });

  it('nobody there: the caller is told when its deadline passes, and the late job is never computed', async () => {
    const from = await sender();
    await expect(from.send(request(1, 100))).rejects.toMatchObject({ code: 'deadline_exceeded' });
    const computed: string[] = [];
    await receiver('query', (job) => {
      computed.push(job.id);
      return echo(job, 'query');
    });
    // The next one is behind it in the same lane.
    await from.send(request(2));
    expect(computed).toHaveLength(1);
  });

  it('a caller that leaves stops waiting at once', async () => {
    const from = await sender();
    const leaving = new AbortController();
    const waiting = from.send({ ...request(1, 60_000), signal: leaving.signal });
    leaving.abort(new Error('the client left'));
    await expect(waiting).rejects.toThrow('the client left');
  });

  it('a bulk job whose worker was killed goes to another worker', async () => {
    const from = await sender();
    const redis = await connect('patient');
    const taken = Promise.withResolvers<void>();
    const dying = new EmbedReceiver({
      redis,
      clock: await clockOf(redis),
      admissions: new Admissions(redis),
      tier: 'cpu',
      lane: 'bulk',
      concurrency: 1,
      log,
      handler: () => {
        taken.resolve();
        return new Promise<never>(() => undefined);
      },
    });
    const waiting = from.send({ ...request(7, 60_000), lane: 'bulk' });
    await taken.promise;
    // As a kill: the connection is gone, no lock is renewed any more, nothing is given back.
    redis.disconnect();
    void dying;
    await receiver('bulk', echo);
    expect((await waiting).vectors[0]).toBe(7);
  });

  it('a worker is seen while its heart beats, and not three beats later', async () => {
    const redis = await connect('patient');
    release.push(() => redis.disconnect());
    const clock = await clockOf(redis);
    const beat: Omit<Heartbeat, 'at'> = {
      workerId: 'w1',
      tier: 'cpu',
      state: 'ready',
      space: 's',
      model: 'm',
      variant: 'v',
      device: 'cpu',
      fit: { a: 1, b: 2 },
      tokensPerSecond: 3,
      batchTokens: 4,
    };
    const source = new HeartbeatSource(redis, clock, () => beat);
    const watch = new HeartbeatWatch(redis, clock, log);
    await source.beat();
    await watch.start();
    release.push(() => watch.stop());
    expect(watch.living()).toMatchObject([{ workerId: 'w1', fit: { a: 1, b: 2 } }]);
    await eventually('its silence is noticed', () => watch.living().length === 0, 6_000);
    await source.beat();
    await eventually('its return is noticed', () => watch.living().length === 1);
    await source.stop();
    await eventually('its goodbye is noticed', () => watch.living().length === 0, 2_000);
  });

  describe('index jobs', () => {
    const payload = {
      source: { type: 'directory', path: '/p' },
      collection: 'c',
      repo: 'r',
      mode: 'incremental',
    } as const;

    async function jobs(): Promise<IndexQueue> {
      const redis = await connect('fail-fast');
      release.push(() => redis.disconnect());
      const made = new IndexQueue(redis);
      release.push(() => made.close());
      return made;
    }
    async function indexer(
      handler: (task: IndexTask) => Promise<void>,
      concurrency = 1,
    ): Promise<IndexReceiver> {
      const redis = await connect('patient');
      release.push(() => redis.disconnect());
      const made = new IndexReceiver({ redis, concurrency, handler, log });
      release.push(() => made.close());
      return made;
    }
    const lockOf = async (id: string, redis: Redis): Promise<string> =>
      (await redis.keys('*:lock')).find((key) => key.includes(id)) ?? '';
    const untilAborted = (signal: AbortSignal) =>
      new Promise<never>((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error)),
      );

    it('one repo has one job at a time, another repo its own', async () => {
      const queue = await jobs();
      const first = await queue.add(payload);
      await expect(queue.add(payload)).rejects.toMatchObject({
        code: 'job_running',
        details: { jobId: first.id },
      });
      await expect(queue.add({ ...payload, repo: 'other' })).resolves.toMatchObject({ state: 'queued' });
      await expect(queue.get('job-of-nobody')).rejects.toMatchObject({ code: 'job_not_found' });
    });

    it('a job that failed says why, and may be tried again', async () => {
      const queue = await jobs();
      await indexer(() => Promise.reject(new AppError('git_failed', 'no such ref: x')));
      const { id } = await queue.add(payload);
      const ended = await eventually('the job fails', async () => {
        const job = await queue.get(id);
        return job.state === 'failed' && job;
      });
      expect(ended.error).toEqual({ code: 'git_failed', message: 'no such ref: x' });
      expect((await queue.add(payload)).id).not.toBe(id);
    });

    it('an indexer that stops gives its job back, and the next indexer goes on with the same one', async () => {
      const queue = await jobs();
      const taken = Promise.withResolvers<void>();
      const stopping = await indexer(({ signal }) => {
        taken.resolve();
        return untilAborted(signal);
      });
      const { id } = await queue.add(payload);
      await taken.promise;
      await stopping.close();
      expect((await queue.get(id)).state).toBe('queued');
      const again = Promise.withResolvers<string>();
      await indexer(({ jobId }) => Promise.resolve(again.resolve(jobId)));
      expect(await again.promise).toBe(id);
    });

    it('a job whose lock ran out while Redis was frozen is begun again only when its first attempt has ended', async () => {
      const queue = await jobs();
      const redis = await connect('patient');
      release.push(() => redis.disconnect());
      const unwound = Promise.withResolvers<void>();
      const begun: IndexTask[] = [];
      const reasons: unknown[] = [];
      await indexer(async (task) => {
        begun.push(task);
        const { progress } = await queue.get(task.jobId);
        if (begun.length > 1) return;
        await untilAborted(task.signal).catch((reason: unknown) => reasons.push(reason));
        await unwound.promise;
        await task.report({ state: 'running', progress, skippedFiles: [], commit: 'of the lost attempt' });
        task.signal.throwIfAborted();
      }, 2);
      const { id } = await queue.add(payload);
      await eventually('it runs', () => begun.length === 1);
      const lock = await lockOf(id, redis);
      expect(await redis.del(lock)).toBe(1);
      await eventually('the attempt is told', () => reasons.length === 1);
      await eventually('the job is handed out again', () => redis.exists(lock).then(Boolean), 60_000);
      expect(begun).toHaveLength(1);
      unwound.resolve();
      const job = await eventually('it completes', async () => {
        const now = await queue.get(id);
        return now.state === 'completed' && now;
      });
      expect(begun).toHaveLength(2);
      expect(reasons).toEqual(['lost']);
      // What the lost attempt still said was not heard.
      expect(job).toMatchObject({ commit: null, error: null });
    });

    it('an indexer with room for one job stops working on it when its lock has run out, and may get it again', async () => {
      const queue = await jobs();
      const redis = await connect('patient');
      release.push(() => redis.disconnect());
      let begun = 0;
      const reasons: unknown[] = [];
      await indexer(async ({ signal }) => {
        begun += 1;
        if (begun > 1) return;
        await untilAborted(signal).catch((reason: unknown) => reasons.push(reason));
        signal.throwIfAborted();
      });
      const { id } = await queue.add(payload);
      await eventually('it runs', () => begun === 1);
      await redis.del(await lockOf(id, redis));
      await eventually('it completes', async () => (await queue.get(id)).state === 'completed');
      expect([begun, reasons]).toEqual([2, ['lost']]);
    });

    it('a job that is cancelled ends, whether it runs or waits', async () => {
      const queue = await jobs();
      const waiting = await queue.add({ ...payload, repo: 'waits' });
      expect((await queue.cancel(waiting.id)).state).toBe('cancelled');
      const ended: unknown[] = [];
      await indexer(async ({ signal, report }) => {
        const state = { progress: (await queue.get(waiting.id)).progress, skippedFiles: [], commit: null };
        if (!signal.aborted) await untilAborted(signal).catch((reason: unknown) => ended.push(reason));
        await report({ state: 'cancelled', ...state });
      });
      const running = await queue.add(payload);
      await eventually('it runs', async () => (await queue.get(running.id)).state === 'running');
      await queue.cancel(running.id);
      await eventually('it has ended', async () => (await queue.get(running.id)).state === 'cancelled');
      expect(ended).toEqual(['cancelled']);
      await expect(queue.cancel(running.id)).rejects.toMatchObject({ code: 'job_finished' });
    });
  });
});
