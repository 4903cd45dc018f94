import type { AppError } from '@embergate/contracts/errors.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { closed, CLOSED, opened } from '@embergate/routing/breaker.ts';
import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Admissions, type Reservation } from '../src/admissions.ts';
import { BreakerRecords } from '../src/breaker-records.ts';
import type { Redis } from '../src/connection.ts';
import { SpaceKeys } from '../src/names.ts';
import { SPACE } from './fake-model.ts';
import { QueueOnRedis } from './queue-on-redis.ts';

const KEYS = new SpaceKeys(SPACE).reservations('gpu', 'query');
const place = (jobId: string) => ({ tier: 'gpu', lane: 'query', jobId }) as const;
const wanted = (jobId: string, change: Partial<Reservation> = {}): Reservation => ({
  ...place(jobId),
  tokens: 10,
  ttlMs: 60_000,
  maxReservedTokens: Infinity,
  breakerText: null,
  ...change,
});

describe('what tiers have been promised', () => {
  let queue: QueueOnRedis;
  beforeAll(async () => (queue = await QueueOnRedis.start('admissions')));
  afterAll(() => queue.stop());
  afterEach(async () => {
    vi.useRealTimers();
    await queue.clear();
  });

  /** The lane's books, as they lie in Redis. */
  async function books(redis: Redis) {
    const tokens = await redis.hgetall(KEYS.tokens);
    return {
      sum: Object.values(tokens).reduce((sum, count) => sum + Number(count), 0),
      total: Number((await redis.get(KEYS.total)) ?? '0'),
      jobs: Object.keys(tokens).toSorted(),
      expiring: (await redis.zrange(KEYS.expiry, '0', '-1')).toSorted(),
    };
  }
  const nothingIsLeft = async (redis: Redis) => expect(await redis.keys('*')).toEqual([]);

  it('four gateways that reserve at the same moment never promise more than the tier can keep', async () => {
    const gateways = await Promise.all(Array.from({ length: 4 }, () => queue.admissions()));
    const jobs = Array.from({ length: 600 }, () => randomUUID());
    const asked = await Promise.all(
      jobs.map((jobId, at) =>
        (gateways[at % 4] as Admissions).reserve(wanted(jobId, { tokens: 7, maxReservedTokens: 700 })),
      ),
    );
    const admitted = asked.filter((answer) => answer.admitted);
    // The last one fits when 700 are reserved, and sees that; after it nobody does.
    expect(admitted.map(({ load }) => load.reservedTokens).toSorted((x, y) => x - y)).toEqual(
      Array.from({ length: 101 }, (_, before) => before * 7),
    );
    const redis = await queue.connect('patient');
    expect(await books(redis)).toMatchObject({ sum: 707, total: 707 });
    // Two gateways and a worker give all of them back, more than once.
    const givers = gateways.slice(0, 3);
    await Promise.all(givers.flatMap((giver) => jobs.map((jobId) => giver.release(place(jobId)))));
    await nothingIsLeft(redis);
  });

  it('whatever happens in whatever order, the total is the sum of what is reserved, and zero at the end', async () => {
    const redis = await queue.connect('patient');
    const gateways = [await queue.admissions(), await queue.admissions()] as const;
    const jobs = ['a', 'b', 'c', 'd', 'e'];
    const step = fc.record({
      // Several steps of a kind run at the same moment.
      kind: fc.constantFrom('reserve', 'reserve', 'release', 'expire', 'load'),
      jobId: fc.constantFrom(...jobs),
      by: fc.constantFrom(0, 1),
      tokens: fc.nat({ max: 1_000 }),
      maxReservedTokens: fc.nat({ max: 2_000 }),
    });
    type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;
    const take = async ({ kind, jobId, by, tokens, maxReservedTokens }: Step): Promise<unknown> => {
      const gateway = gateways[by];
      if (kind === 'reserve') return gateway.reserve(wanted(jobId, { tokens, maxReservedTokens }));
      if (kind === 'release') return gateway.release(place(jobId));
      // As if its time had passed.
      if (kind === 'expire') return redis.zadd(KEYS.expiry, 'XX', 1, jobId);
      return gateway.load('gpu', 'query');
    };
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 12 }), async (rounds) => {
        for (const round of rounds) {
          await Promise.all(round.map(take));
          const { sum, total, jobs: reserved, expiring } = await books(redis);
          expect(total).toBe(sum);
          expect(expiring).toEqual(reserved);
        }
        await Promise.all(jobs.map((jobId) => gateways[0].release(place(jobId))));
        await nothingIsLeft(redis);
      }),
      { numRuns: 60 },
    );
  });

  it('a job that its worker and its gateway release counts once, and so does one that is reserved twice', async () => {
    const gateway = await queue.admissions();
    const worker = await queue.admissions();
    await gateway.reserve(wanted('stays', { tokens: 5 }));
    await gateway.reserve(wanted('goes', { tokens: 7 }));
    // The answer to the first call was lost on the way.
    await gateway.reserve(wanted('goes', { tokens: 7 }));
    expect((await gateway.load('gpu', 'query')).reservedTokens).toBe(12);
    await Promise.all([worker.release(place('goes')), gateway.release(place('goes'))]);
    await gateway.release(place('goes'));
    expect((await gateway.load('gpu', 'query')).reservedTokens).toBe(5);
    expect(await worker.holds(place('goes'))).toBe(false);
    expect(await worker.holds(place('stays'))).toBe(true);
  });

  it('what nobody releases expires by the time of Redis, whatever the clock here says', async () => {
    const gateway = await queue.admissions();
    vi.useFakeTimers({ toFake: ['Date'], now: new Date('2001-01-01') });
    await gateway.reserve(wanted('of a gateway that was killed', { ttlMs: 50 }));
    await gateway.reserve(wanted('of one that lives', { tokens: 3 }));
    vi.setSystemTime(new Date('2101-01-01'));
    // Looking is enough to be rid of it.
    await eventually('its place is free', async () => {
      const { reservedTokens } = await gateway.load('gpu', 'query');
      return reservedTokens === 3;
    });
    const redis = await queue.connect('patient');
    expect(await books(redis)).toEqual({
      sum: 3,
      total: 3,
      jobs: ['of one that lives'],
      expiring: ['of one that lives'],
    });
    await gateway.release(place('of one that lives'));
    await nothingIsLeft(redis);
  });

  it('a reservation is refused when the breaker is not as it was known, and says how it is', async () => {
    const redis = await queue.connect('fail-fast');
    const gateway = new Admissions(redis, SPACE);
    const records = new BreakerRecords(redis, SPACE, () => undefined);
    queue.afterwards(() => records.close());
    expect(await gateway.reserve(wanted('before', { breakerText: '' }))).toMatchObject({
      admitted: true,
      load: { breaker: CLOSED, breakerText: '' },
    });
    const record = opened(CLOSED, 1_000, { reason: 'silent', draw: 0 });
    await records.change('gpu', '', record);
    const refused = await gateway.reserve(wanted('meanwhile', { breakerText: '' }));
    expect(refused).toMatchObject({ admitted: false, load: { breaker: record } });
    expect(await gateway.holds(place('meanwhile'))).toBe(false);
    // Known as it is, the reservation is made; a canary asks for no record.
    const { breakerText } = refused.load;
    expect((await gateway.reserve(wanted('after', { breakerText }))).admitted).toBe(true);
    expect((await gateway.reserve(wanted('canary'))).admitted).toBe(true);
    // Another tier has its own.
    const elsewhere = await gateway.reserve(wanted('there', { tier: 'cpu', breakerText: '' }));
    expect(elsewhere).toMatchObject({ admitted: true, load: { breaker: CLOSED } });
  });

  it('a breaker’s record that cannot be read counts as closed, and can be replaced', async () => {
    const redis = await queue.connect('fail-fast');
    await redis.hset(new SpaceKeys(SPACE).breakers, 'gpu', 'of another version');
    const gateway = new Admissions(redis, SPACE);
    const { breaker, breakerText } = await gateway.load('gpu', 'query');
    expect(breaker).toEqual(CLOSED);
    const records = new BreakerRecords(redis, SPACE, () => undefined);
    queue.afterwards(() => records.close());
    expect(await records.change('gpu', breakerText, closed(CLOSED, 5))).toBe(true);
    expect((await gateway.load('gpu', 'query')).breaker).toEqual(closed(CLOSED, 5));
  });

  it('gateways see what each worker computes, until it is idle', async () => {
    const worker = await queue.admissions();
    const gateway = await queue.admissions();
    await worker.setBatch('gpu', 'w1', { endsAt: 1_000.4, queryTokens: 12 });
    await worker.setBatch('gpu', 'w2', { endsAt: 2_000, queryTokens: 0 });
    const { load } = await gateway.reserve(wanted('a'));
    expect(load.batches.toSorted((x, y) => x.endsAt - y.endsAt)).toEqual([
      { workerId: 'w1', endsAt: 1_000, queryTokens: 12 },
      { workerId: 'w2', endsAt: 2_000, queryTokens: 0 },
    ]);
    await worker.setBatch('gpu', 'w1', null);
    expect((await gateway.load('gpu', 'query')).batches).toHaveLength(1);
    await worker.setBatch('gpu', 'w2', null);
    await gateway.release(place('a'));
    await nothingIsLeft(await queue.connect('patient'));
  });

  it('a Redis that was killed comes back with books that are right', async () => {
    const gateway = await queue.admissions();
    const redis = await queue.connect('patient');
    let isBack = false;
    const restarted = queue.restart().then(() => (isBack = true));
    const asked: string[] = [];
    const failures: unknown[] = [];
    while (!isBack) {
      const jobs = Array.from({ length: 50 }, () => randomUUID());
      asked.push(...jobs);
      const answers = await Promise.allSettled(jobs.map((jobId) => gateway.reserve(wanted(jobId))));
      for (const answer of answers) if (answer.status === 'rejected') failures.push(answer.reason);
      // Refused at once, they would leave the connection no time to come back.
      await wait(1);
    }
    await restarted;
    expect(failures.length).toBeGreaterThan(0);
    expect(new Set(failures.map((error) => (error as AppError).code))).toEqual(new Set(['queue_down']));
    const { sum, total } = await books(redis);
    expect(total).toBe(sum);
    // The scripts went with the old server.
    await eventually('it takes reservations again', () => gateway.reserve(wanted('after')));
    await Promise.all(asked.map((jobId) => gateway.release(place(jobId))));
    await gateway.release(place('after'));
    expect(await books(redis)).toEqual({ sum: 0, total: 0, jobs: [], expiring: [] });
  });
});
