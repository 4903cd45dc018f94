import { describe, expect, it } from 'vitest';
import type { EmbeddingBackend } from '../src/backend.ts';
import { Batcher } from '../src/batcher.ts';

/** Stands for the model: shows the batches it is given, and ends each when told. A vector holds its text's first id and length. */
class FakeBackend implements EmbeddingBackend {
  readonly device = 'cpu';
  readonly dimensions = 2;
  readonly batches: number[][] = [];
  #running: { finish: (error?: Error) => void } | undefined;
  #begun = Promise.withResolvers<void>();

  embed(batch: readonly Uint32Array[]): Promise<Float32Array> {
    this.batches.push(batch.map((ids) => ids[0] ?? 0));
    return new Promise((resolve, reject) => {
      const vectors = Float32Array.from(batch.flatMap((ids) => [ids[0] ?? 0, ids.length]));
      this.#running = { finish: (error) => (error ? reject(error) : resolve(vectors)) };
      this.#begun.resolve();
    });
  }

  /** Waits until a batch runs, then ends it. */
  async finishBatch(error?: Error): Promise<void> {
    await this.#begun.promise;
    this.#begun = Promise.withResolvers();
    const running = this.#running;
    this.#running = undefined;
    running?.finish(error);
    // The batcher starts the next batch in the microtasks that follow.
    await new Promise(setImmediate);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const text = (id: number, length: number): Uint32Array => new Uint32Array(length).fill(id);
const make = (options: Partial<ConstructorParameters<typeof Batcher>[0]> = {}) => {
  const backend = new FakeBackend();
  // One millisecond a token: a bulk batch of 250 ms holds 250 tokens.
  return { backend, batcher: new Batcher({ backend, fit: { a: 0, b: 1 }, ...options }) };
};

describe('packing texts into batches', () => {
  it('puts the queries of one moment into one batch and gives each caller its own vectors', async () => {
    const { backend, batcher } = make();
    const answers = [
      batcher.submit([text(1, 4)], 'query'),
      batcher.submit([text(2, 7), text(3, 5)], 'query'),
    ];
    await backend.finishBatch();
    const [first, second] = await Promise.all(answers);
    expect(backend.batches).toEqual([[1, 2, 3]]);
    expect([...(first?.vectors ?? [])]).toEqual([1, 4]);
    expect([...(second?.vectors ?? [])]).toEqual([2, 7, 3, 5]);
  });

  it('counts what texts are padded to, not how many there are', async () => {
    const { backend, batcher } = make({ queryBatchTokens: 100 });
    // 3 x 30 fits, a fourth of 40 would make it 4 x 40.
    const sizes = [30, 30, 30, 40];
    const answers = sizes.map((size, index) => batcher.submit([text(index, size)], 'query'));
    await backend.finishBatch();
    await backend.finishBatch();
    await Promise.all(answers);
    expect(backend.batches).toEqual([[0, 1, 2], [3]]);
  });

  it('lets a query pass all bulk work that has not begun', async () => {
    const { backend, batcher } = make();
    const bulk = batcher.submit([text(1, 250), text(2, 250), text(3, 250)], 'bulk');
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    const query = batcher.submit([text(9, 3)], 'query');
    for (let batch = 0; batch < 4; batch++) await backend.finishBatch();
    await Promise.all([bulk, query]);
    expect(backend.batches[0]).toHaveLength(1);
    expect(backend.batches[1]).toEqual([9]);
  });

  it('bounds a bulk batch in time, and packs texts of like length together', async () => {
    const { backend, batcher } = make();
    const lengths = [10, 120, 12, 125, 11];
    const bulk = batcher.submit(
      lengths.map((length, index) => text(index, length)),
      'bulk',
    );
    await backend.finishBatch();
    await backend.finishBatch();
    const { vectors } = await bulk;
    expect(backend.batches.map((batch) => [...batch].sort())).toEqual([
      [1, 3],
      [0, 2, 4],
    ]);
    expect([...vectors]).toEqual(lengths.flatMap((length, index) => [index, length]));
  });

  it('gives bulk work its share under a flood of queries', async () => {
    const { backend, batcher } = make({ queryBatchTokens: 1_000 });
    const bulk = batcher.submit([text(7, 10)], 'bulk');
    let done = false;
    void bulk.then(() => (done = true));
    const answers: Promise<unknown>[] = [];
    for (let round = 0; !done && round < 50; round++) {
      answers.push(batcher.submit([text(1, 1_000)], 'query'));
      await backend.finishBatch();
    }
    expect(done).toBe(true);
  });

  it('fails only the requests of a batch that failed', async () => {
    const { backend, batcher } = make({ queryBatchTokens: 10 });
    const first = batcher.submit([text(1, 10)], 'query');
    const second = batcher.submit([text(2, 10)], 'query');
    const failure = expect(first).rejects.toThrow('out of memory');
    await backend.finishBatch(new Error('out of memory'));
    await failure;
    await backend.finishBatch();
    expect([...(await second).vectors]).toEqual([2, 10]);
  });

  it('on close finishes queries, hands bulk work back and takes nothing more', async () => {
    const { backend, batcher } = make({ queryBatchTokens: 10 });
    const queries = [batcher.submit([text(1, 10)], 'query'), batcher.submit([text(2, 10)], 'query')];
    const bulk = expect(batcher.submit([text(3, 10)], 'bulk')).rejects.toMatchObject({
      code: 'shutting_down',
    });
    const closed = batcher.close();
    await bulk;
    await backend.finishBatch();
    await backend.finishBatch();
    await Promise.all([...queries, closed]);
    await expect(batcher.submit([text(4, 1)], 'query')).rejects.toMatchObject({ code: 'shutting_down' });
    expect(backend.batches).toEqual([[1], [2]]);
  });
});
