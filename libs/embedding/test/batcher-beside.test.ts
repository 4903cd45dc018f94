import { AppError } from '@embergate/contracts/errors.ts';
import { describe, expect, it } from 'vitest';
import { Batcher } from '../src/batcher.ts';
import type { Embedded, EmbeddingBackend, EmbedOptions } from '../src/backend.ts';
import { paddedTokens } from '../src/padded-tokens.ts';
import { FitThatStays, text } from './fake-backends.ts';

/** Stands for a model that computes bulk work beside queries: each batch ends when told, of a lane the one that began first. */
class FakeInterleavingBackend implements EmbeddingBackend {
  readonly device = 'cpu';
  readonly dimensions = 1;
  readonly isReady = true;
  readonly bulkBeside: number;
  readonly isolatesBulk: boolean;
  readonly pads: boolean;
  readonly computedTokens = paddedTokens;
  readonly begun: string[] = [];
  #running: { lane: string; finish: () => void; fail: (error: AppError) => void }[] = [];

  constructor({ bulkBeside = 1, isolatesBulk = false, pads = false } = {}) {
    this.bulkBeside = bulkBeside;
    this.isolatesBulk = isolatesBulk;
    this.pads = pads;
  }

  embed(batch: readonly Uint32Array[], { lane = 'query' }: EmbedOptions = {}): Promise<Embedded> {
    const vectors = Float32Array.from(batch, ([first = 0]) => first);
    this.begun.push(`${lane} ${vectors[0]}`);
    return new Promise((resolve, fail) => {
      const finish = (): void => resolve({ vectors, ms: 40 });
      this.#running.push({ lane, finish, fail });
    });
  }

  /** Its process ends, and the next one is there at once. */
  async die(): Promise<void> {
    const running = this.#running;
    this.#running = [];
    const details = { childEnded: true };
    for (const { fail } of running) fail(new AppError('embedding_failed', 'The process ended.', { details }));
    await settled();
  }

  async end(lane: 'query' | 'bulk'): Promise<void> {
    const first = this.#running.find((running) => running.lane === lane);
    if (!first) throw new Error(`nothing of ${lane} runs`);
    this.#running = this.#running.filter((running) => running !== first);
    first.finish();
    await settled();
  }

  whenReady = () => Promise.resolve();
  close = () => Promise.resolve();
}

/** The batcher begins the next batch in the turns that follow. */
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
};

describe('a model that computes bulk work in parts', () => {
  const make = () => {
    const backend = new FakeInterleavingBackend();
    const fit = new FitThatStays({ a: 0, b: 1 });
    const told: string[] = [];
    const onBatchStart = ({ lane }: { lane: string }): void => void told.push(lane);
    return { backend, fit, told, batcher: new Batcher({ backend, fit, onBatchStart }) };
  };
  const bulk = { lane: 'bulk' } as const;
  const query = { lane: 'query' } as const;

  it('is given queries while a bulk text runs, and no second bulk text', async () => {
    const { backend, batcher, told } = make();
    const texts = batcher.submit([text(1, 900), text(2, 900)], bulk);
    await settled();
    const first = batcher.submit([text(8, 5)], query);
    await settled();
    expect(backend.begun).toEqual(['bulk 2', 'query 8']);
    await backend.end('query');
    await first;
    const second = batcher.submit([text(9, 5)], query);
    await settled();
    await backend.end('query');
    await second;
    await backend.end('bulk');
    await backend.end('bulk');
    expect([...(await texts).vectors]).toEqual([1, 2]);
    expect(backend.begun).toEqual(['bulk 2', 'query 8', 'query 9', 'bulk 1']);
    // Gateways reckon with what a query has to wait for to its end.
    expect(told).toEqual(['query', 'query']);
  });

  it('teaches by queries alone, and without their wait for a part of a bulk text', async () => {
    const { backend, batcher, fit } = make();
    const texts = batcher.submit([text(1, 900)], bulk);
    await settled();
    const asked = batcher.submit([text(8, 5)], query);
    await settled();
    await backend.end('query');
    await backend.end('bulk');
    expect(await Promise.all([asked, texts])).toMatchObject([{ inferenceMs: 40 }, { inferenceMs: 40 }]);
    expect(fit.observed).toEqual([{ paddedTokens: 5, ms: 40 }]);
  });

  it('batches queries by what each costs alone: a long one among short ones pads nothing', async () => {
    const backend = new FakeInterleavingBackend();
    const batches: { texts: number; queryTokens: number }[] = [];
    const batcher = new Batcher({
      backend,
      fit: new FitThatStays({ a: 0, b: 1 }),
      queryBatchMs: 250,
      onBatchStart: ({ texts, queryTokens }) => void batches.push({ texts, queryTokens }),
    });
    // Padded to the longest the first two alone would have 300 tokens.
    const asked = [150, 20, 20, 60, 100].map((length, at) => batcher.submit([text(at + 1, length)], query));
    await settled();
    await backend.end('query');
    await backend.end('query');
    await Promise.all(asked);
    expect(batches).toEqual([
      { texts: 4, queryTokens: 250 },
      { texts: 1, queryTokens: 100 },
    ]);
  });

  it('that ends with a text of each lane has each of them alone the next time, and refuses the one that ends it', async () => {
    const { backend, batcher } = make();
    const innocent = batcher.submit([text(1, 900)], bulk);
    await settled();
    const poison = expect(batcher.submit([text(8, 5)], query)).rejects.toMatchObject({
      code: 'text_refused',
    });
    await settled();
    await backend.die();
    // First the query, which ends it twice more, and nothing beside it.
    expect(backend.begun).toEqual(['bulk 1', 'query 8', 'query 8']);
    await backend.die();
    await backend.die();
    await poison;
    expect(backend.begun.at(-1)).toBe('bulk 1');
    await backend.end('bulk');
    expect([...(await innocent).vectors]).toEqual([1]);
  });

  it('is not waited for with a bulk text when the worker stops, but with a query', async () => {
    const { backend, batcher } = make();
    const texts = expect(batcher.submit([text(1, 900)], bulk)).rejects.toMatchObject({
      code: 'shutting_down',
    });
    await settled();
    const asked = batcher.submit([text(8, 5)], query);
    await settled();
    const closed = batcher.close();
    await texts;
    await backend.end('query');
    await closed;
    expect([...(await asked).vectors]).toEqual([8]);
  });
});

describe('a model that has two processes for bulk work', () => {
  const make = () => {
    const backend = new FakeInterleavingBackend({ bulkBeside: 2, isolatesBulk: true, pads: true });
    return { backend, batcher: new Batcher({ backend, fit: new FitThatStays({ a: 0, b: 1 }) }) };
  };
  const long = (...ids: number[]): Uint32Array[] => ids.map((id) => text(id, 900));

  it('is given two bulk batches at a time, the next one when one of them ends, and queries beside them', async () => {
    const { backend, batcher } = make();
    const texts = batcher.submit(long(1, 2, 3), { lane: 'bulk' });
    await settled();
    expect(backend.begun).toEqual(['bulk 3', 'bulk 2']);
    const asked = batcher.submit([text(8, 5)], { lane: 'query' });
    await settled();
    expect(backend.begun.at(-1)).toBe('query 8');
    await backend.end('bulk');
    await backend.end('query');
    expect([...(await asked).vectors]).toEqual([8]);
    expect(backend.begun.at(-1)).toBe('bulk 1');
    await backend.end('bulk');
    await backend.end('bulk');
    expect([...(await texts).vectors]).toEqual([1, 2, 3]);
    expect(batcher.isIdle).toBe(true);
  });

  it('pads the texts of a batch, so that short ones do not go with long ones', async () => {
    const { backend, batcher } = make();
    const asked = [5, 100, 6].map((length, at) => batcher.submit([text(at + 1, length)], { lane: 'query' }));
    await settled();
    await backend.end('query');
    await backend.end('query');
    await Promise.all(asked);
    expect(backend.begun).toEqual(['query 1', 'query 2']);
  });

  it('does not keep a worker that stops waiting for either', async () => {
    const { batcher } = make();
    const texts = expect(batcher.submit(long(1, 2, 3), { lane: 'bulk' })).rejects.toMatchObject({
      code: 'shutting_down',
    });
    await settled();
    await batcher.close();
    await texts;
  });
});
