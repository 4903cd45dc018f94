import type { Heartbeat } from '@embergate/contracts/tiers.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Admissions } from '../src/admissions.ts';
import { HeartbeatSource, HeartbeatWatch } from '../src/heartbeats.ts';
import { SpaceKeys, WORKERS_KEY } from '../src/names.ts';
import type { RedisClock } from '../src/redis-clock.ts';
import { beatOf, log, SPACE } from './fake-model.ts';
import { QueueOnRedis } from './queue-on-redis.ts';

const idsOf = (beats: readonly Heartbeat[]): string[] => beats.map(({ workerId }) => workerId).toSorted();

describe('which workers live', () => {
  let queue: QueueOnRedis;
  beforeAll(async () => (queue = await QueueOnRedis.start('heartbeats')));
  afterAll(() => queue.stop());
  afterEach(() => queue.clear());

  /** A worker whose heart beats. `die` is a kill: no goodbye, no connection. */
  async function worker(workerId: string): Promise<{ die: () => void }> {
    const redis = await queue.connect('patient');
    const source = new HeartbeatSource(redis, await queue.clock(redis), () => beatOf(workerId));
    await source.start();
    const die = (): void => redis.disconnect();
    queue.afterwards(() => source.stop());
    return { die };
  }

  async function gateway(): Promise<{ watch: HeartbeatWatch; clock: RedisClock }> {
    const redis = await queue.connect('fail-fast');
    const clock = await queue.clock(redis);
    const watch = new HeartbeatWatch(redis, clock, log);
    await watch.start();
    queue.afterwards(() => watch.stop());
    return { watch, clock };
  }

  it('a worker is seen while its heart beats, and not three beats later', async () => {
    const redis = await queue.connect('patient');
    const source = new HeartbeatSource(redis, await queue.clock(redis), () => beatOf('w1'));
    await source.beat();
    const { watch } = await gateway();
    expect(watch.living()).toMatchObject([{ workerId: 'w1', fit: { a: 1, b: 2 } }]);
    await eventually('its silence is noticed', () => watch.living().length === 0, 6_000);
    expect(idsOf(watch.silent())).toEqual(['w1']);
    await source.beat();
    await eventually('its return is noticed', () => watch.living().length === 1);
    expect(watch.silent()).toEqual([]);
    await source.stop();
    await eventually('its goodbye is noticed', () => watch.living().length === 0, 2_000);
    // Who said goodbye is not missed.
    expect(watch.silent()).toEqual([]);
  });

  it('when Redis was frozen, those count as living that lived before, and who died meanwhile is noticed', async () => {
    await worker('lives');
    const mortal = await worker('dies');
    const { watch } = await gateway();
    expect(idsOf(watch.living())).toEqual(['dies', 'lives']);
    const server = await queue.pid();
    queue.frozen.freeze(server);
    mortal.die();
    let seen = idsOf(watch.living());
    await eventually('nobody knows any more who lives', () => {
      seen = idsOf(watch.living());
      return !watch.isKnown();
    });
    // Nothing speaks against them: it is Redis that is silent.
    expect(seen).toEqual(['dies', 'lives']);
    queue.frozen.thaw(server);
    await untilKnown(watch);
    expect(idsOf(watch.living())).toEqual(['dies', 'lives']);
    await eventually('the dead one is missed', () => {
      expect(idsOf(watch.living())).toContain('lives');
      return watch.living().length === 1;
    });
    expect(idsOf(watch.silent())).toEqual(['dies']);
  });

  it('when Redis was killed and is back, those count as living that lived before', async () => {
    await worker('lives');
    const { watch } = await gateway();
    await queue.restart();
    await eventually('it is heard again', async () => {
      expect(idsOf(watch.living())).toEqual(['lives']);
      return (await (await queue.connect('fail-fast')).hgetall(WORKERS_KEY))['lives'];
    });
    await untilKnown(watch);
    expect(idsOf(watch.living())).toEqual(['lives']);
  });

  it('a worker that was killed is forgotten after a minute, with the batch that it computed', async () => {
    const redis = await queue.connect('patient');
    const clock = await queue.clock(redis);
    const longAgo: Heartbeat = { ...beatOf('w1', 'gpu'), at: clock.now() - 61_000 };
    await redis.hset(WORKERS_KEY, 'w1', JSON.stringify(longAgo));
    const admissions = new Admissions(redis, SPACE);
    await admissions.setBatch('gpu', 'w1', { endsAt: clock.now() - 60_000, queryTokens: 5 });
    const recent: Heartbeat = { ...beatOf('w2', 'gpu'), at: clock.now() - 59_000 };
    await redis.hset(WORKERS_KEY, 'w2', JSON.stringify(recent));
    await admissions.setBatch('gpu', 'w2', { endsAt: clock.now() - 58_000, queryTokens: 5 });
    const { watch } = await gateway();
    expect(idsOf(watch.silent())).toEqual(['w2']);
    expect(await redis.hkeys(WORKERS_KEY)).toEqual(['w2']);
    expect(await redis.hkeys(new SpaceKeys(SPACE).batches('gpu'))).toEqual(['w2']);
  });

  it('a goodbye takes the batch along, and leaves nothing behind but how fast the tier was', async () => {
    const redis = await queue.connect('patient');
    const source = new HeartbeatSource(redis, await queue.clock(redis), () => beatOf('w1', 'gpu'));
    await source.start();
    await new Admissions(redis, SPACE).setBatch('gpu', 'w1', { endsAt: 1, queryTokens: 5 });
    await source.stop();
    expect(await redis.keys('*')).toEqual([new SpaceKeys(SPACE).fits]);
  });

  it('the time that is read across a stall of Redis is not off by half of the stall', async () => {
    const redis = await queue.connect('fail-fast');
    const clock = await queue.clock(redis);
    const server = await queue.pid();
    queue.frozen.freeze(server);
    const reading = clock.refresh();
    const begun = performance.now();
    await eventually('it is frozen for long', () => performance.now() - begun > 2_000);
    queue.frozen.thaw(server);
    await reading;
    const [seconds, micros] = await redis.time();
    const redisNow = Number(seconds) * 1_000 + Number(micros) / 1_000;
    // Half of the stall would be a second.
    expect(Math.abs(clock.now() - redisNow)).toBeLessThan(500);
  });
});

async function untilKnown(watch: HeartbeatWatch): Promise<void> {
  while (!watch.isKnown()) await new Promise((resolve) => setImmediate(resolve));
}
