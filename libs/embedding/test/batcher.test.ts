import { afterEach, describe, expect, it, vi } from 'vitest';
import { Batcher, type BatcherOptions } from '../src/batcher.ts';
import { FakeBackend, FitThatStays, text } from './fake-backends.ts';

const query = { lane: 'query' } as const;
const bulk = { lane: 'bulk' } as const;
const make = (options: Partial<BatcherOptions> = {}) => {
  const backend = new FakeBackend();
  // One millisecond a token: a batch of 250 ms holds 250 tokens.
  const fit = new FitThatStays({ a: 0, b: 1 });
  return { backend, fit, batcher: new Batcher({ backend, fit, ...options }) };
};

describe('packing texts into batches', () => {
  it('puts the queries of one moment into one batch and gives each caller its own vectors', async () => {
    const { backend, batcher } = make();
    const answers = [batcher.submit([text(1, 4)], query), batcher.submit([text(2, 5), text(3, 5)], query)];
    await backend.finishBatch();
    const [first, second] = await Promise.all(answers);
    expect(backend.batches).toEqual([[1, 2, 3]]);
    expect([...(first?.vectors ?? [])]).toEqual([1, 4]);
    expect([...(second?.vectors ?? [])]).toEqual([2, 5, 3, 5]);
  });

  it('gives the model the texts with their token ids, in whatever order they are batched', async () => {
    const { backend, batcher } = make();
    const submit = (ids: number[]) =>
      batcher.submit(
        ids.map((id) => text(id, 10 + id)),
        { lane: 'bulk', texts: ids.map((id) => `text ${id}`) },
      );
    const answers = [submit([1, 3]), submit([2])];
    await backend.finishBatch();
    await Promise.all(answers);
    expect(backend.batches).toEqual([[1, 2, 3]]);
    expect(backend.options[0]?.texts).toEqual(['text 1', 'text 2', 'text 3']);
    const withoutTexts = batcher.submit([text(1, 4)], query);
    await backend.finishBatch();
    await withoutTexts;
    expect(backend.options[1]?.texts).toBeUndefined();
  });

  it('counts what texts are padded to, not how many there are', async () => {
    const { backend, batcher } = make({ queryBatchMs: 100 });
    // 3 x 30 fits, a fourth of 40 would make it 4 x 40.
    const sizes = [30, 30, 30, 40];
    const answers = sizes.map((size, index) => batcher.submit([text(index, size)], query));
    await backend.finishBatch();
    await backend.finishBatch();
    await Promise.all(answers);
    expect(backend.batches).toEqual([[0, 1, 2], [3]]);
  });

  it('lets no bulk text wait for ever behind longer ones that keep coming', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const { backend, batcher } = make();
    const longer = (id: number) => batcher.submit([text(id, 250)], bulk);
    const answers = [longer(1), longer(100), batcher.submit([text(99, 200)], bulk)];
    for (let id = 2; id < 60; id++) {
      answers.push(longer(id));
      await backend.untilBatch();
      vi.advanceTimersByTime(250);
      await backend.finishBatch();
    }
    vi.useRealTimers();
    expect(backend.batches.slice(0, 30).flat()).toContain(99);
    for (let left = 0; left < 5; left++) await Promise.race([backend.finishBatch(), Promise.all(answers)]);
  });

  it('lets a query pass all bulk work that has not begun', async () => {
    const { backend, batcher } = make();
    const answers = [batcher.submit([text(1, 250), text(2, 250), text(3, 250)], bulk)];
    await backend.untilBatch();
    answers.push(batcher.submit([text(9, 3)], query));
    for (let batch = 0; batch < 4; batch++) await backend.finishBatch();
    await Promise.all(answers);
    expect(backend.batches[0]).toHaveLength(1);
    expect(backend.batches[1]).toEqual([9]);
  });

  it('packs bulk texts of like length together', async () => {
    const { backend, batcher } = make();
    const lengths = [10, 120, 12, 125, 11];
    const answer = batcher.submit(
      lengths.map((length, index) => text(index, length)),
      bulk,
    );
    await backend.finishBatch();
    await backend.finishBatch();
    const { vectors } = await answer;
    expect(backend.batches.map((batch) => [...batch].sort())).toEqual([
      [1, 3],
      [0, 2, 4],
    ]);
    expect([...vectors]).toEqual(lengths.flatMap((length, index) => [index, length]));
  });

  it('on close finishes queries, hands bulk work back and takes nothing more', async () => {
    const { backend, batcher } = make({ queryBatchMs: 10 });
    const queries = [batcher.submit([text(1, 10)], query), batcher.submit([text(2, 10)], query)];
    const refused = expect(batcher.submit([text(3, 10)], bulk)).rejects.toMatchObject({
      code: 'shutting_down',
    });
    const closed = batcher.close();
    await refused;
    await backend.finishBatch();
    await backend.finishBatch();
    await Promise.all([...queries, closed]);
    await expect(batcher.submit([text(4, 1)], query)).rejects.toMatchObject({ code: 'shutting_down' });
    expect(backend.batches).toEqual([[1], [2]]);
  });

  it('on close finishes the bulk batch that runs', async () => {
    const { backend, batcher } = make();
    const answer = batcher.submit([text(1, 10)], bulk);
    await backend.untilBatch();
    const closed = batcher.close();
    await backend.finishBatch();
    expect([...(await answer).vectors]).toEqual([1, 10]);
    await closed;
  });
});

describe('batches bounded in milliseconds', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Submits twenty texts of ten tokens, lets all batches run, and says how large they were. */
  async function batchSizes({ backend, batcher }: ReturnType<typeof make>, lane: 'query' | 'bulk') {
    const before = backend.batches.length;
    const answer = batcher.submit(
      Array.from({ length: 20 }, (_, id) => text(id, 10)),
      { lane },
    );
    let isDone = false;
    void answer.then(() => (isDone = true));
    while (!isDone) await backend.finishBatch();
    return backend.batches.slice(before).map((batch) => batch.length);
  }

  it.each(['query', 'bulk'] as const)(
    '%s batches shrink and grow as the machine slows and recovers',
    async (lane) => {
      const parts = make();
      expect(await batchSizes(parts, lane)).toEqual([20]);
      // 50 + 2 x 100 = 250
      parts.fit.now = { a: 50, b: 2 };
      expect(await batchSizes(parts, lane)).toEqual([10, 10]);
      // Not even one text fits; it runs all the same.
      parts.fit.now = { a: 300, b: 2 };
      expect(await batchSizes(parts, lane)).toEqual(new Array(20).fill(1));
      parts.fit.now = { a: 0, b: 1 };
      expect(await batchSizes(parts, lane)).toEqual([20]);
    },
  );

  it('on a fast machine a batch ends at 4,096 tokens of queries, at 1,024 of bulk', async () => {
    for (const [lane, tokens] of [
      ['query', 4_096],
      ['bulk', 1_024],
    ] as const) {
      const { backend, batcher, fit } = make();
      fit.now = { a: 0, b: 0 };
      const answer = batcher.submit(
        Array.from({ length: 2 * (tokens / 64) }, (_, id) => text(id, 64)),
        { lane },
      );
      await backend.finishBatch();
      await backend.finishBatch();
      await answer;
      expect(backend.batches.map((batch) => batch.length * 64)).toEqual([tokens, tokens]);
    }
  });

  it('under a flood of queries bulk work has a twentieth of the time, and not much more', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const spent = { query: 0, bulk: 0 };
    let flood = true;
    let queriesInARow = 0;
    let longestWithoutBulk = 0;
    const { backend, batcher } = make({
      onBatch: ({ lane, paddedTokens }) => {
        spent[lane] += paddedTokens;
        queriesInARow = lane === 'query' ? queriesInARow + paddedTokens : 0;
        longestWithoutBulk = Math.max(longestWithoutBulk, queriesInARow);
      },
    });
    backend.embed = async (batch) => {
      vi.advanceTimersByTime(batch.length * (batch[0]?.length ?? 0));
      // There is always another query.
      if (flood) answers.push(batcher.submit([text(1, 100), text(2, 100)], query));
      await new Promise(setImmediate);
      return { vectors: new Float32Array(2 * batch.length), ms: 1 };
    };
    const answers = [
      batcher.submit([text(1, 100)], query),
      batcher.submit(
        Array.from({ length: 50 }, (_, id) => text(id, 250)),
        bulk,
      ),
    ];
    while (spent.query + spent.bulk < 100_000) await new Promise(setImmediate);
    const share = spent.bulk / (spent.query + spent.bulk);
    flood = false;
    await Promise.all(answers);
    expect(share).toBeGreaterThan(0.045);
    expect(share).toBeLessThan(0.06);
    expect(longestWithoutBulk).toBeLessThanOrEqual(5_000);
  });
});

describe('what a batcher tells of itself', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('each batch as it begins and ends, with its prediction, and that nothing is left', async () => {
    const told: unknown[] = [];
    const { backend, batcher, fit } = make({
      onBatchStart: (batch) => told.push(batch),
      onBatch: ({ lane, texts, paddedTokens }) => told.push({ lane, texts, paddedTokens }),
      onIdle: () => told.push('idle'),
    });
    fit.now = { a: 5, b: 2 };
    expect(batcher.isIdle).toBe(true);
    const answers = [batcher.submit([text(1, 10), text(2, 8)], query), batcher.submit([text(3, 7)], bulk)];
    expect(batcher.isIdle).toBe(false);
    await backend.finishBatch();
    await backend.finishBatch();
    await Promise.all(answers);
    expect(told).toEqual([
      { lane: 'query', texts: 2, queryTokens: 18, paddedTokens: 20, predictedMs: 45 },
      { lane: 'query', texts: 2, paddedTokens: 20 },
      { lane: 'bulk', texts: 1, queryTokens: 0, paddedTokens: 7, predictedMs: 19 },
      { lane: 'bulk', texts: 1, paddedTokens: 7 },
      'idle',
    ]);
    expect(batcher.isIdle).toBe(true);
    expect(fit.observed.map(({ paddedTokens }) => paddedTokens)).toEqual([20, 7]);
  });

  it('that a batch takes far longer than predicted; after five seconds and ten times the prediction it hangs', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const { backend, batcher } = make();
    const answer = batcher.submit([text(1, 100)], query);
    await backend.untilBatch();
    expect(backend.options).toEqual([{ hangMs: 6_000, lane: 'query' }]);
    vi.advanceTimersByTime(800);
    expect(batcher.overdueMs).toBe(0);
    vi.advanceTimersByTime(50);
    expect(batcher.overdueMs).toBe(50);
    await backend.finishBatch();
    await answer;
    expect(batcher.overdueMs).toBe(0);
  });

  it('idle it measures a small batch of its own when asked, and tells nobody', async () => {
    const told: unknown[] = [];
    const { backend, batcher, fit } = make({
      onBatchStart: (batch) => told.push(batch),
      onBatch: (batch) => told.push(batch),
    });
    const probed = batcher.probe();
    // Who comes meanwhile is served next.
    const answer = batcher.submit([text(1, 4)], query);
    await backend.finishBatch();
    await probed;
    expect(fit.observed.map(({ paddedTokens }) => paddedTokens)).toEqual([16]);
    expect(told).toEqual([]);
    await backend.untilBatch();
    await batcher.probe();
    await backend.finishBatch();
    await answer;
    expect(backend.batches).toEqual([[100], [1]]);
  });

  it('a probe that fails is not learnt from, and fails nobody', async () => {
    const { backend, batcher, fit } = make();
    const probed = batcher.probe();
    await backend.die();
    await probed;
    expect(fit.observed).toEqual([]);
    // While the model is away there is nothing to measure.
    await batcher.probe();
    expect(backend.batches).toHaveLength(1);
    await batcher.close();
  });
});
