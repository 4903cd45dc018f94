import type { CachedVector } from '@embergate/contracts/cached-vector.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QueryCache, queryCacheKey, type CacheLayer, type SharedVectorCache } from '../src/query-cache.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const ANY = { firstTierOnly: false };
const FIRST_ONLY = { firstTierOnly: true };

/** Stands for Redis: keeps what it is told for as long as it is told, on the test's clock. */
class FakeSharedCache implements SharedVectorCache {
  readonly entries = new Map<string, { value: CachedVector; until: number }>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  async get(key: string): Promise<CachedVector | null> {
    const entry = this.entries.get(key);
    return entry && entry.until > this.#now() ? { ...entry.value, vector: entry.value.vector.slice() } : null;
  }

  async put(key: string, value: CachedVector, ttlMs: number): Promise<void> {
    this.entries.set(key, { value, until: this.#now() + ttlMs });
  }
}

const madeBy = (tier: CachedVector['tier'], vector = Float32Array.of(1, 2, 3)) => ({
  vector,
  tier,
  variant: `v-${tier}`,
  device: tier === 'gpu' ? 'cuda' : 'cpu',
  reason: tier === 'gpu' ? null : 'gpu_saturated',
});

function world() {
  const clock = { now: 1_800_000_000_000 };
  const shared = new FakeSharedCache(() => clock.now);
  const lookups: CacheLayer[] = [];
  /** One more gateway beside the same Redis; `aheadMs`: how wrong its clock is. */
  const gateway = ({ maxBytes = 1_000_000, aheadMs = 0 } = {}): QueryCache =>
    new QueryCache({
      shared,
      firstTier: 'gpu',
      onLookup: (layer) => lookups.push(layer),
      maxBytes,
      now: () => clock.now + aheadMs,
    });
  return { clock, shared, lookups, gateway };
}

describe('the key of a query', () => {
  it('differs as soon as space, input type or text does, wherever one ends and the next begins', () => {
    const part = fc.string({ unit: fc.constantFrom('a', '"', ',', '\\', '\n', '\0', '\ud800', '\udc00') });
    const query = fc.tuple(part, fc.constantFrom('query' as const, 'document' as const), part);
    fc.assert(
      fc.property(query, query, (one, other) => {
        const same = one.every((value, index) => value === other[index]);
        expect(queryCacheKey(...one) === queryCacheKey(...other)).toBe(same);
      }),
      { numRuns: 2_000 },
    );
    expect(queryCacheKey('s', 'query', '\ud800')).not.toBe(queryCacheKey('s', 'query', '\udc00'));
  });

  it('tells nothing of the text', () => {
    expect(queryCacheKey('s', 'query', 'my secret')).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('a query that was asked before', () => {
  it('is answered by this gateway, the next time after a restart by what all share, and then by itself again', async () => {
    const { gateway, lookups } = world();
    const before = gateway();
    expect(await before.get('k', ANY)).toBeNull();
    before.put('k', madeBy('gpu'));
    expect(await before.get('k', ANY)).toMatchObject(madeBy('gpu'));
    const after = gateway();
    expect(await after.get('k', ANY)).toMatchObject(madeBy('gpu'));
    await after.get('k', ANY);
    expect(lookups).toEqual(['miss', 'local', 'shared', 'local']);
  });

  it('hands the same vector to all who ask', async () => {
    const cache = world().gateway();
    cache.put('k', madeBy('gpu'));
    expect((await cache.get('k', ANY))?.vector).toBe((await cache.get('k', ANY))?.vector);
  });

  it('lives a day when the first tier made it', async () => {
    const { clock, gateway } = world();
    const cache = gateway();
    cache.put('k', madeBy('gpu'));
    clock.now += DAY_MS - 1;
    expect(await cache.get('k', ANY)).not.toBeNull();
    clock.now += 1;
    expect(await cache.get('k', ANY)).toBeNull();
  });

  it('lives a minute when another tier made it, however many gateways hand it on, and whatever their clocks say', async () => {
    for (const aheadMs of [0, -10 * MINUTE_MS, 10 * MINUTE_MS]) {
      const { clock, gateway } = world();
      const [maker, reader] = [gateway({ aheadMs }), gateway()];
      maker.put('k', madeBy('cpu'));
      clock.now += MINUTE_MS - 1;
      // Too old from the start for a reader whose clock is far ahead: a miss, and no harm.
      expect((await reader.get('k', ANY)) !== null).toBe(aheadMs >= 0);
      clock.now += aheadMs > 0 ? MINUTE_MS : 1;
      expect(await reader.get('k', ANY)).toBeNull();
      expect(await maker.get('k', ANY)).toBeNull();
    }
  });

  it('is asked of the first tier anew where only that may answer', async () => {
    const { gateway, lookups } = world();
    const [one, other] = [gateway(), gateway()];
    one.put('k', madeBy('cpu'));
    expect(await one.get('k', FIRST_ONLY)).toBeNull();
    expect(await other.get('k', FIRST_ONLY)).toBeNull();
    expect(await other.get('k', ANY)).toMatchObject({ tier: 'cpu', reason: 'gpu_saturated' });
    // Meanwhile the first tier has made it for another gateway.
    other.put('k', madeBy('gpu'));
    expect(await one.get('k', FIRST_ONLY)).toMatchObject({ tier: 'gpu' });
    expect(await one.get('k', ANY)).toMatchObject({ tier: 'gpu' });
    expect(lookups).toEqual(['miss', 'miss', 'shared', 'shared', 'local']);
  });

  it('keeps the first tier’s vector when a degraded one is made beside it', async () => {
    const cache = world().gateway();
    cache.put('k', madeBy('gpu'));
    cache.put('k', madeBy('cpu'));
    expect(await cache.get('k', ANY)).toMatchObject({ tier: 'gpu' });
  });
});

describe('the memory of a gateway', () => {
  it('holds the queries of late, and lets those go that nobody asked again', async () => {
    const { gateway, shared, lookups } = world();
    // Room for about nine of 100,000 bytes.
    const cache = gateway({ maxBytes: 1_000_000 });
    for (let query = 0; query < 50; query++) {
      cache.put(`k${query}`, madeBy('gpu', new Float32Array(25_000)));
      await cache.get('k0', ANY);
    }
    shared.entries.clear();
    lookups.length = 0;
    for (let query = 0; query < 50; query++) await cache.get(`k${query}`, ANY);
    const kept = lookups.flatMap((layer, query) => (layer === 'local' ? [query] : []));
    expect(kept).toEqual([0, ...Array.from({ length: kept.length - 1 }, (_, i) => 51 - kept.length + i)]);
    expect(kept.length).toBeGreaterThan(7);
    expect(kept.length).toBeLessThan(10);
  });

  it('keeps a vector and not the larger answer that it came in', async () => {
    const cache = world().gateway();
    const answer = new Float32Array(1_000);
    cache.put('k', madeBy('gpu', answer.subarray(10, 13)));
    expect((await cache.get('k', ANY))?.vector.buffer.byteLength).toBe(12);
  });
});
