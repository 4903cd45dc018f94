import { AppError } from '@embergate/contracts/errors.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Admissions } from '../src/admissions.ts';
import type { EmbedHandler } from '../src/embed-receiver.ts';
import { echo, numberOf, request } from './fake-model.ts';
import { QueueOnRedis } from './queue-on-redis.ts';

describe('jobs and answers over a real queue', () => {
  let queue: QueueOnRedis;
  beforeAll(async () => (queue = await QueueOnRedis.start('queue')));
  afterAll(() => queue.stop());
  afterEach(() => queue.clear());

  it('every caller gets the vectors of its own texts, a thousand of them at once from two senders', async () => {
    await queue.receiver({ lane: 'query', handler: echo });
    const senders = [await queue.sender(), await queue.sender()];
    const ids = Array.from({ length: 1_000 }, (_, id) => id);
    const answers = await Promise.all(
      ids.map((id) => (senders[id % 2] as (typeof senders)[0]).send(request(id))),
    );
    expect(answers.map((got) => got.vectors[0])).toEqual(ids);
    // Nothing stays behind: neither jobs nor answers, but for the last few of each inbox until it is idle.
    const redis = await queue.connect('patient');
    const keys = await redis.keys('*');
    const inboxes = keys.filter((key) => key.includes(':inbox:'));
    expect(inboxes).toHaveLength(2);
    for (const inbox of inboxes) expect(await redis.xlen(inbox)).toBeLessThanOrEqual(64);
    expect(keys.filter((key) => /:[0-9]+$/.test(key))).toEqual([]);
  });

  it('answers go on when the server came back without its data, and an inbox that nobody reads goes away', async () => {
    await queue.receiver({ lane: 'query', handler: echo });
    const { send } = await queue.sender();
    await send(request(1));
    const redis = await queue.connect('patient');
    const [inbox = ''] = await redis.keys('*:inbox:*');
    expect(await redis.pttl(inbox)).toBeGreaterThan(0);
    await redis.flushall();
    await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    const answer = await eventually('answers come again', () => send(request(2, 500)).catch(() => null));
    expect(answer.vectors[0]).toBe(2);
  });

  it('two spaces on one Redis do not meet: neither takes what is meant for the other', async () => {
    const taken: string[] = [];
    const handlerOf =
      (space: string): EmbedHandler =>
      (job, lane) => {
        taken.push(`${space} ${numberOf(job)}`);
        return echo(job, lane);
      };
    for (const space of ['m@11111111', 'm@22222222'])
      await queue.receiver({ lane: 'query', handler: handlerOf(space), space });
    const { redis, sender } = await queue.sender();
    const sendTo = async (space: string, id: number): Promise<void> => {
      const jobId = `${space.slice(-2)}-${id}`;
      const place = {
        jobId,
        tier: 'cpu',
        lane: 'query',
        maxReservedTokens: Infinity,
        breakerText: null,
      } as const;
      await new Admissions(redis, space).reserve({ ...place, tokens: 1, ttlMs: 5_000 });
      await sender.send({ ...request(id), space, jobId });
    };
    await Promise.all([sendTo('m@11111111', 1), sendTo('m@22222222', 2), sendTo('m@11111111', 3)]);
    expect(taken.toSorted()).toEqual(['m@11111111 1', 'm@11111111 3', 'm@22222222 2']);
    for (const space of ['m@11111111', 'm@22222222'])
      expect((await new Admissions(redis, space).load('cpu', 'query')).reservedTokens).toBe(0);
  });

  it('a worker’s typed error reaches the caller as the same error', async () => {
    const handler = () => Promise.reject(new AppError('space_mismatch', 'another space'));
    await queue.receiver({ lane: 'query', handler });
    await expect((await queue.sender()).send(request(1))).rejects.toMatchObject({
      code: 'space_mismatch',
      message: 'another space',
    });
  });

  it('nobody there: the caller is told when its deadline passes, and the late job is never computed', async () => {
    const from = await queue.sender();
    await expect(from.send(request(1, 100))).rejects.toMatchObject({ code: 'deadline_exceeded' });
    const computed: string[] = [];
    const handler: EmbedHandler = (job, lane) => {
      computed.push(job.id);
      return echo(job, lane);
    };
    await queue.receiver({ lane: 'query', handler });
    // The next one is behind it in the same lane.
    await from.send(request(2));
    expect(computed).toHaveLength(1);
  });

  it('a caller that leaves stops waiting at once', async () => {
    const from = await queue.sender();
    const leaving = new AbortController();
    const waiting = from.send({ ...request(1, 60_000), signal: leaving.signal });
    leaving.abort(new Error('the client left'));
    await expect(waiting).rejects.toThrow('the client left');
  });
});
