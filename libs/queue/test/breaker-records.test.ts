import type { TierName } from '@embergate/contracts/tiers.ts';
import { CLOSED, opened, type BreakerRecord } from '@embergate/routing/breaker.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Admissions } from '../src/admissions.ts';
import { BreakerRecords } from '../src/breaker-records.ts';
import type { Redis } from '../src/connection.ts';
import { SPACE } from './fake-model.ts';
import { QueueOnRedis } from './queue-on-redis.ts';

const record = (draw: number): BreakerRecord => opened(CLOSED, 1_000, { reason: `draw ${draw}`, draw });

describe('the breakers’ shared records', () => {
  let queue: QueueOnRedis;
  beforeAll(async () => (queue = await QueueOnRedis.start('breakers')));
  afterAll(() => queue.stop());
  afterEach(() => queue.clear());

  interface Gateway {
    redis: Redis;
    records: BreakerRecords;
    /** Tiers that it was told of. */
    heard: TierName[];
    read: (tier: TierName) => Promise<{ breaker: BreakerRecord; breakerText: string }>;
  }

  /** One that listens already. */
  async function gateway(): Promise<Gateway> {
    const redis = await queue.connect('fail-fast');
    const admissions = new Admissions(redis, SPACE);
    const heard: TierName[] = [];
    const records = new BreakerRecords(redis, SPACE, (tier) => heard.push(tier));
    queue.afterwards(() => records.close());
    await eventually('it listens', () => heard.length > 0);
    heard.length = 0;
    return { redis, records, heard, read: (tier) => admissions.load(tier, 'query') };
  }

  it('of many changes of the same record one is made, and both gateways read that one', async () => {
    const gateways = [await gateway(), await gateway()] as const;
    const changes = Array.from({ length: 40 }, (_, at) => ({
      by: gateways[at % 2 ? 1 : 0],
      next: record(at),
    }));
    const made = await Promise.all(changes.map(({ by, next }) => by.records.change('gpu', '', next)));
    expect(made.filter(Boolean)).toHaveLength(1);
    const winner = changes[made.indexOf(true)]?.next;
    for (const { read } of gateways) expect((await read('gpu')).breaker).toEqual(winner);
    // Who has read it may change it, once.
    const { breakerText } = await gateways[0].read('gpu');
    expect(await gateways[1].records.change('gpu', breakerText, record(99))).toBe(true);
    expect(await gateways[0].records.change('gpu', breakerText, record(100))).toBe(false);
    expect((await gateways[0].read('gpu')).breaker).toEqual(record(99));
  });

  it('both gateways hear of a change, and of which tier', async () => {
    const [one, other] = [await gateway(), await gateway()];
    await one.records.change('remote', '', record(0));
    for (const { heard } of [one, other])
      await eventually('it is heard', () => heard.length === 1 && heard[0] === 'remote');
    // What was not changed is not told.
    await one.records.change('remote', '', record(1));
    await one.records.change('gpu', '', record(2));
    for (const { heard } of [one, other]) {
      await eventually('the next one is heard', () => heard.at(-1) === 'gpu');
      expect(heard).toEqual(['remote', 'gpu']);
    }
  });

  it('a gateway whose connection was cut hears the next change, and looks for what it missed', async () => {
    const [one, other] = [await gateway(), await gateway()];
    const cut = one.redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    // It follows in the same moment: nobody listens.
    await one.records.change('gpu', '', record(0));
    expect(await cut).toBe(2);
    for (const { heard } of [one, other])
      await eventually('it is told to look', () => heard.includes('gpu') && heard.includes('cpu'));
    one.heard.length = 0;
    other.heard.length = 0;
    const { breakerText } = await other.read('gpu');
    await one.records.change('gpu', breakerText, record(1));
    for (const { heard } of [one, other]) await eventually('it is heard', () => heard.includes('gpu'));
  });

  it('after a restart of Redis the record is there, and changes of it are heard', async () => {
    const [one, other] = [await gateway(), await gateway()];
    await one.records.change('gpu', '', record(0));
    await eventually('it is heard', () => other.heard.length === 1);
    // It is written within a second; the kill comes after that.
    await one.redis.call('BGREWRITEAOF');
    await eventually('it is on the disk', async () =>
      (await one.redis.info('persistence')).includes('aof_rewrite_in_progress:0'),
    );
    await queue.restart();
    for (const { heard } of [one, other])
      await eventually('it is told to look', () => heard.filter((tier) => tier === 'cpu').length === 1);
    const { breaker, breakerText } = await eventually('it is read', () => other.read('gpu'));
    expect(breaker).toEqual(record(0));
    one.heard.length = 0;
    expect(await other.records.change('gpu', breakerText, record(1))).toBe(true);
    await eventually('it is heard', () => one.heard.includes('gpu'));
  });

  it('while Redis is away a change fails, and says so', async () => {
    const { redis, records } = await gateway();
    redis.disconnect();
    await expect(records.change('gpu', '', record(0))).rejects.toMatchObject({ code: 'queue_down' });
  });
});
