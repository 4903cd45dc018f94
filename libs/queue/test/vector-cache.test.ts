import { encodeCachedVector, type CachedVector } from '@embergate/contracts/cached-vector.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { descendantsOf } from '@embergate/testing/processes.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { randomBytes, randomInt } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { connectRedis, type Redis } from '../src/connection.ts';
import { startRedisServer, type RedisServer } from '../src/redis-server.ts';
import { VectorCache } from '../src/vector-cache.ts';

const log = createLogger('test', 'silent');
const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;
const SIZES = '{embergate}:vectors-sizes';
const BY_AGE = '{embergate}:vectors-by-age';
const BY_EXPIRY = '{embergate}:vectors-by-expiry';
const VALUE = '{embergate}:vector:';

const newKey = (): string => randomBytes(32).toString('hex');
const entryOf = (dimensions: number, value = 0.5): CachedVector => ({
  vector: new Float32Array(dimensions).fill(value),
  tier: 'gpu',
  variant: 'int8-cuda',
  device: 'cuda',
  reason: null,
  madeAt: 1_800_000_000_000,
});

describe('query embeddings that gateways share through Redis', () => {
  let server: RedisServer;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  /** Looks at what Redis holds; no gateway of its own. */
  let redis: Redis;
  let gateways: Redis[];

  beforeAll(async () => {
    folder = await temporaryFolder('vector-cache');
    server = await startRedisServer({ binary: inject('redisServer'), dataDir: folder.path, log });
    redis = await connectRedis({ url: server.url, patience: 'patient', log });
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
    await folder.remove();
  });
  beforeEach(() => {
    gateways = [];
  });
  afterEach(async () => {
    for (const gateway of gateways) gateway.disconnect();
    await redis.config('SET', 'maxmemory', '0');
    await redis.flushall();
  });

  /** As in a gateway, but for a bound that a busy machine would break. */
  async function cache(getBoundMs = 60_000): Promise<VectorCache> {
    const connection = await connectRedis({ url: server.url, patience: 'fail-fast', log });
    gateways.push(connection);
    return new VectorCache(connection, log, getBoundMs);
  }

  /** What is counted, beside what is there. Every entry that is there must be in the index, and counted with its size. */
  async function books() {
    const { '': sum = '0', ...sizes } = await redis.hgetall(SIZES);
    const keys = await redis.keys('{embergate}:vector*');
    const there = keys.filter((key) => key.startsWith(VALUE)).map((key) => key.slice(VALUE.length));
    const usages = await Promise.all(keys.map((key) => redis.memory('USAGE', key, 'SAMPLES', 0)));
    return {
      sum: Number(sum),
      sumOfSizes: Object.values(sizes).reduce((total, size) => total + Number(size), 0),
      indexed: Object.keys(sizes).sort(),
      byAge: (await redis.zrange(BY_AGE, '0', '-1')).sort(),
      byExpiry: (await redis.zrange(BY_EXPIRY, '0', '-1')).sort(),
      there: there.sort(),
      // null: it expired between the two questions.
      usedBytes: usages.reduce<number>((total, usage) => total + (usage ?? 0), 0),
    };
  }

  it('what one gateway puts another one gets, until its time is over', async () => {
    const [one, other] = [await cache(), await cache()];
    const [key, brief] = [newKey(), newKey()];
    const entry: CachedVector = { ...entryOf(3584, 0.25), tier: 'cpu', reason: 'gpu_saturated' };
    expect(await other.get(key)).toBeNull();
    await one.put(key, entry, HOUR_MS);
    await one.put(brief, entry, 1);
    expect(await other.get(key)).toEqual(entry);
    await eventually('the brief one to expire', async () => (await other.get(brief)) === null);
  });

  it('an entry that is put again is counted once, with its new size', async () => {
    const vectors = await cache();
    const key = newKey();
    for (const dimensions of [100, 3584, 10]) await vectors.put(key, entryOf(dimensions), HOUR_MS);
    expect((await vectors.get(key))?.vector).toHaveLength(10);
    const { sum, sumOfSizes, indexed } = await books();
    expect(indexed).toEqual([key]);
    expect(sum).toBe(sumOfSizes);
    expect(sum).toBeLessThan(2_000);
  });

  it('two gateways put thousands of vectors of all sizes and lives: the cap and the count hold throughout', async () => {
    const maxmemory = 64 * MIB;
    const cap = maxmemory / 8;
    await redis.config('SET', 'maxmemory', maxmemory);
    const writers = [await cache(), await cache()];
    // Few enough that some are put again, by the other gateway and with another size.
    const keys = Array.from({ length: 3_000 }, newKey);
    const lives = [1, 5, 50, 1_000, HOUR_MS];
    const writing = writers.map(async (writer) => {
      for (let round = 0; round < 150; round++) {
        const puts = Array.from({ length: 20 }, () => {
          const life = lives[randomInt(lives.length)] ?? 0;
          return writer.put(keys[randomInt(keys.length)] ?? '', entryOf(randomInt(1, 3_584)), life);
        });
        await Promise.all(puts);
        const counted = Number((await redis.hget(SIZES, '')) ?? 0);
        expect(counted).toBeLessThanOrEqual(cap);
      }
    });
    await Promise.all(writing);
    const after = await books();
    expect(after.sum).toBe(after.sumOfSizes);
    expect(after.byAge).toEqual(after.indexed);
    expect(after.byExpiry).toEqual(after.indexed);
    expect(after.indexed).toEqual(expect.arrayContaining(after.there));
    // It was full, and what is counted is what Redis really spends.
    expect(after.sum).toBeGreaterThan(cap / 2);
    expect(after.usedBytes).toBeLessThanOrEqual(cap);
  });

  it('the oldest make room, whatever life they had left', async () => {
    await redis.config('SET', 'maxmemory', 8 * MIB);
    const vectors = await cache();
    const keys = Array.from({ length: 200 }, newKey);
    for (const [index, key] of keys.entries())
      await vectors.put(key, entryOf(3_584), index % 2 === 0 ? HOUR_MS : 2 * HOUR_MS);
    const kept = (await books()).indexed.length;
    expect(kept).toBeGreaterThan(50);
    expect(kept).toBeLessThan(100);
    const found = await Promise.all(keys.map(async (key) => (await vectors.get(key)) !== null));
    expect(found).toEqual(keys.map((_, index) => index >= keys.length - kept));
  });

  it('what has expired leaves the books with the puts that follow, and at last the books themselves', async () => {
    const vectors = await cache();
    const [key, next] = [newKey(), newKey()];
    await vectors.put(key, entryOf(1), HOUR_MS);
    await Promise.all(Array.from({ length: 20 }, () => vectors.put(newKey(), entryOf(1_000), 5)));
    await eventually('all but one to expire', async () => (await books()).there.length === 1);
    await vectors.put(next, entryOf(1), HOUR_MS);
    const { sum, sumOfSizes, indexed } = await books();
    expect(indexed).toEqual([key, next].sort());
    expect(sum).toBe(sumOfSizes);

    for (const brief of [key, next]) await vectors.put(brief, entryOf(1), 5);
    // Nobody puts any more.
    await eventually('Redis to be empty', async () => (await redis.keys('*')).length === 0);
  });

  it('after the limit was lowered the cache shrinks to it, and takes nothing in until it has', async () => {
    const vectors = await cache();
    for (let round = 0; round < 10; round++)
      await Promise.all(Array.from({ length: 60 }, () => vectors.put(newKey(), entryOf(3_584), HOUR_MS)));
    await redis.config('SET', 'maxmemory', 16 * MIB);
    const lowered = await cache();
    const cap = 2 * MIB;
    let before = (await books()).sum;
    expect(before).toBeGreaterThan(2 * cap);
    while (before > cap) {
      const key = newKey();
      await lowered.put(key, entryOf(1_000), HOUR_MS);
      const { sum } = await books();
      expect(sum).toBeLessThan(before);
      expect((await lowered.get(key)) !== null).toBe(sum <= cap);
      before = sum;
    }
  });

  it('a vector larger than all of the cache leaves the others alone', async () => {
    await redis.config('SET', 'maxmemory', 32 * MIB);
    const vectors = await cache();
    const [small, large] = [newKey(), newKey()];
    await vectors.put(small, entryOf(10), HOUR_MS);
    await vectors.put(large, entryOf(1.5 * MIB), HOUR_MS);
    expect(await vectors.get(large)).toBeNull();
    expect(await vectors.get(small)).not.toBeNull();
  });

  it('a Redis that is full takes no vector and counts none', async () => {
    const vectors = await cache();
    await vectors.put(newKey(), entryOf(10), HOUR_MS);
    const before = await books();
    await redis.config('SET', 'maxmemory', 1);
    const key = newKey();
    await vectors.put(key, entryOf(10), HOUR_MS);
    expect(await vectors.get(key)).toBeNull();
    expect(await books()).toEqual(before);
  });

  it('a burst of puts does not pile up in the gateway: what Redis cannot take at once is left out', async () => {
    const vectors = await cache();
    const puts = (length: number) =>
      Promise.all(Array.from({ length }, () => vectors.put(newKey(), entryOf(10), HOUR_MS)));
    await puts(1_000);
    expect((await books()).indexed).toHaveLength(64);
    await puts(1);
    expect((await books()).indexed).toHaveLength(65);
  });

  it('bytes that are no vector are no hit', async () => {
    const vectors = await cache();
    const frame = encodeCachedVector(entryOf(8));
    for (const bytes of [Buffer.alloc(0), Buffer.from('hello'), frame.subarray(0, -4), randomBytes(64)]) {
      const key = newKey();
      await redis.set(VALUE + key, bytes);
      expect(await vectors.get(key)).toBeNull();
    }
    await redis.hset(`${VALUE}another-type`, 'field', 'value');
    expect(await vectors.get('another-type')).toBeNull();
  });

  it('a frozen Redis holds one look-up up for a moment, the next ones not at all, and is asked again once it moves', async () => {
    const vectors = await cache(50);
    const key = newKey();
    await vectors.put(key, entryOf(8), HOUR_MS);
    const names = /valkey-server|redis-server/;
    // The guard beside it has the server's name in its arguments, too.
    const processes = (await descendantsOf(server.process.pid ?? NaN)).filter(({ command }) =>
      names.test(command.split(' ')[0] ?? ''),
    );
    expect(processes).toHaveLength(1);
    const [{ pid } = { pid: NaN }] = processes;
    expect(pid).toBeGreaterThan(1);
    const events: string[] = [];
    process.kill(pid, 'SIGSTOP');
    try {
      expect(await vectors.get(key)).toBeNull();
      events.push('the first look-up came back');
      const next = vectors.get(key).then((found) => events.push(found ? 'a hit' : 'the next one came back'));
      await new Promise(setImmediate);
      events.push('the loop turned once');
      await Promise.all([next, vectors.put(newKey(), entryOf(8), HOUR_MS)]);
      events.push('a put gave up');
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    expect(events).toEqual([
      'the first look-up came back',
      'the next one came back',
      'the loop turned once',
      'a put gave up',
    ]);
    await eventually('the vector to be found again', () => vectors.get(key));
  });

  it('without Redis there is nothing to get, nothing is put, and nothing fails', async () => {
    const own = await temporaryFolder('vector-cache-away');
    const leaving = await startRedisServer({ binary: inject('redisServer'), dataDir: own.path, log });
    const connection = await connectRedis({ url: leaving.url, patience: 'fail-fast', log });
    gateways.push(connection);
    const vectors = new VectorCache(connection, log);
    const key = newKey();
    await vectors.put(key, entryOf(8), HOUR_MS);
    await leaving.stop();
    expect(await vectors.get(key)).toBeNull();
    await vectors.put(key, entryOf(8), HOUR_MS);
    await own.remove();
  });
});
