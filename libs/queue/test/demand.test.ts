import { eventually } from '@embergate/testing/eventually.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DemandLedger } from '../src/demand.ts';
import { HeartbeatSource, HeartbeatWatch } from '../src/heartbeats.ts';
import { SpaceKeys } from '../src/names.ts';
import { RedisClock } from '../src/redis-clock.ts';
import { beatOf, log, SPACE } from './fake-model.ts';
import { QueueOnRedis } from './queue-on-redis.ts';

/** Stands for the time of Redis, so that a minute needs none. */
class FakeRedisClock extends RedisClock {
  ms = 1_000_000_000_000;

  override now(): number {
    return this.ms;
  }
}

const NOTHING = { shortTokensPerSecond: 0, longTokensPerSecond: 0 };

describe('what queries ask of each tier', () => {
  let queue: QueueOnRedis;
  beforeAll(async () => (queue = await QueueOnRedis.start('demand')));
  afterAll(() => queue.stop());
  afterEach(() => queue.clear());

  async function gateways() {
    const redis = await queue.connect('fail-fast');
    const clock = new FakeRedisClock(redis);
    const ledgers = [
      new DemandLedger(redis, clock, SPACE),
      new DemandLedger(await queue.connect('fail-fast'), clock, SPACE),
    ] as const;
    return { redis, clock, ledgers };
  }

  it('is the same for two gateways, whichever of them was asked, and nothing where nobody asked', async () => {
    const { clock, ledgers } = await gateways();
    for (const ledger of ledgers) expect(await ledger.read('gpu')).toEqual(NOTHING);
    ledgers[0].record('gpu', 100);
    ledgers[0].record('gpu', 20);
    ledgers[1].record('gpu', 80);
    ledgers[1].record('cpu', 60);
    await Promise.all(ledgers.map((ledger) => ledger.flush()));
    // Five seconds are not over yet: half of them would look like half the demand.
    for (const ledger of ledgers) expect(await ledger.read('gpu')).toEqual(NOTHING);
    clock.ms += 6_000;
    const gpu = { shortTokensPerSecond: 20, longTokensPerSecond: 200 / 60 };
    const cpu = { shortTokensPerSecond: 6, longTokensPerSecond: 1 };
    for (const ledger of ledgers) {
      expect(await ledger.read('gpu')).toEqual(gpu);
      expect(await ledger.read('cpu')).toEqual(cpu);
      expect(await ledger.read('remote')).toEqual(NOTHING);
    }
    // What was written is not written again.
    await Promise.all(ledgers.map((ledger) => ledger.flush()));
    expect(await ledgers[0].read('gpu')).toEqual(gpu);
  });

  it('is over for the short rate after ten seconds, and for the long one after a minute', async () => {
    const { clock, ledgers } = await gateways();
    ledgers[0].record('gpu', 600);
    await ledgers[0].flush();
    clock.ms += 16_000;
    expect(await ledgers[1].read('gpu')).toEqual({ shortTokensPerSecond: 0, longTokensPerSecond: 10 });
    clock.ms += 50_000;
    expect(await ledgers[1].read('gpu')).toEqual(NOTHING);
  });

  it('waits for the counts of the last moment, which gateways write half a second later', async () => {
    const { clock, ledgers } = await gateways();
    clock.ms += 4_999;
    ledgers[0].record('gpu', 50);
    clock.ms += 500;
    const early = await ledgers[1].read('gpu');
    await ledgers[0].flush();
    // Had it counted already, this gateway would have read less than the other.
    expect(await ledgers[1].read('gpu')).toEqual(early);
    clock.ms += 501;
    for (const ledger of ledgers) expect(await ledger.read('gpu')).toMatchObject({ shortTokensPerSecond: 5 });
  });

  it('leaves nothing in Redis that does not go by itself', async () => {
    const { redis, ledgers } = await gateways();
    ledgers[0].record('gpu', 1);
    ledgers[0].record('cpu', 1);
    await ledgers[0].flush();
    const keys = await redis.keys(new SpaceKeys(SPACE).demand('gpu').replace('gpu', '*'));
    expect(keys).toHaveLength(2);
    for (const key of keys) {
      const seconds = await redis.ttl(key);
      // Longer than anybody looks back.
      expect(seconds).toBeGreaterThan(66);
      expect(seconds).toBeLessThanOrEqual(300);
    }
  });

  it('how fast a tier was is known when its workers are gone', async () => {
    const { redis, ledgers } = await gateways();
    expect(await ledgers[0].lastKnownFit('gpu')).toBeNull();
    const clock = await queue.clock(redis);
    const starting = { ...beatOf('w1', 'gpu'), state: 'starting' as const, fit: null };
    let says = { ...beatOf('w1', 'gpu'), fit: { a: 3, b: 0.5 } };
    const source = new HeartbeatSource(redis, clock, () => says);
    await source.beat();
    await source.stop();
    const watch = new HeartbeatWatch(redis, clock, log);
    await watch.refresh();
    expect(watch.living()).toEqual([]);
    expect(await ledgers[1].lastKnownFit('gpu')).toEqual({ a: 3, b: 0.5 });
    expect(await ledgers[1].lastKnownFit('cpu')).toBeNull();
    // One that starts has not been measured, and takes nothing away.
    says = starting as unknown as typeof says;
    await source.beat();
    expect(await ledgers[1].lastKnownFit('gpu')).toEqual({ a: 3, b: 0.5 });
    await source.stop();
    await redis.hset(new SpaceKeys(SPACE).fits, 'gpu', 'of another version');
    expect(await ledgers[1].lastKnownFit('gpu')).toBeNull();
  });

  it('a Redis that is away costs what was counted meanwhile, and nothing else', async () => {
    const { clock, ledgers } = await gateways();
    await queue.restart();
    await eventually('it is back', () => ledgers[1].read('gpu'));
    ledgers[1].record('gpu', 30);
    await ledgers[1].flush();
    clock.ms += 6_000;
    expect(await ledgers[1].read('gpu')).toMatchObject({ shortTokensPerSecond: 3 });
  });
});
