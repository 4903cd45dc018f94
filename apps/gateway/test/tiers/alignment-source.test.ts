import type { AlignmentReference } from '@embergate/contracts/alignment.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { embeddedText } from '@embergate/ingestion/embedded-text.ts';
import { embeddedHash } from '@embergate/ingestion/hash.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import type { CollectionStamp, SampledRow } from '@embergate/vector-store/store.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AlignmentSource } from '../../src/tiers/alignment-source.ts';

const space = {
  model: 'm',
  revision: 'r',
  dimensions: 2,
  pooling: 'mean',
  normalize: true,
  prompts: { query: 'q: ', document: 'd: ' },
} as EmbeddingSpace;

/** A row of which the text that was embedded can be told. */
function rowOf(n: number, words: number): SampledRow {
  const place = { path: `src/${n}.ts`, language: 'typescript', symbol: `f${n}`, startLine: 1, endLine: 1 };
  const shown = { ...place, text: 'word '.repeat(words) + n };
  return {
    id: `${n}`,
    repo: 'r',
    ...shown,
    embeddedHash: embeddedHash(embeddedText({ ...shown, signature: '' })),
    vector: Float32Array.of(n, 1),
    secondVector: null,
  };
}

/** A gateway before fake collections and a fake queue whose turn nobody else takes. */
function scene() {
  const state = {
    collections: [{ name: 'default', space }] as CollectionStamp[],
    rows: [] as SampledRow[],
    isAway: false,
    damaged: '',
    movedTo: undefined as CollectionStamp | undefined,
    sampled: 0,
    takenUntil: 0,
    told: [] as ('withdrawn' | AlignmentReference)[],
  };
  const source = new AlignmentSource({
    store: {
      listCollections: async () => state.collections,
      getCollection: async (name) =>
        (state.movedTo ?? state.collections.find((stamp) => stamp.name === name)) as CollectionStamp,
      sampleRows: async (name) => {
        state.sampled += 1;
        if (state.isAway || name === state.damaged) throw new Error('away');
        return state.rows;
      },
    },
    references: {
      takeTurn: async (_, ms) => {
        if (Date.now() < state.takenUntil) return false;
        state.takenUntil = Date.now() + ms;
        return true;
      },
      leaveTurn: async () => void (state.takenUntil = 0),
      publish: async (id, reference) => {
        expect(id).toBe(spaceId(space));
        state.told.push(reference);
      },
      withdraw: async () => void state.told.push('withdrawn'),
    },
    space,
    texts: {
      encode: (text) => ({
        ids: Uint32Array.of(1, text.length, 2),
        prompted: space.prompts.document + text,
        warnings: [],
      }),
    },
    log: createLogger('test', 'silent'),
  });
  return { state, source };
}

describe('what a gateway says that models are to be compared with', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('is the shortest texts that say something and one of usual length, their vectors first', async () => {
    const { state, source } = scene();
    state.rows = Array.from({ length: 21 }, (_, n) => rowOf(n, 10 + n)).reverse();
    state.rows.push(rowOf(99, 1)); // says too little
    state.rows.push({ ...rowOf(98, 5), embeddedHash: 'of something else' });
    source.start();
    await vi.advanceTimersByTimeAsync(0);
    source.stop();
    const [reference] = state.told as AlignmentReference[];
    const texts = [0, 1, 2, 3, 4, 5, 6, 14].map((n) => embeddedText({ ...rowOf(n, 10 + n), signature: '' }));
    expect(reference?.canaries.map(({ text }) => text)).toEqual(texts.map((text) => `d: ${text}`));
    expect([...(reference?.sample ?? [])].filter((_, at) => at % 2 === 0).slice(0, 9)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 14, 20,
    ]);
    expect(reference?.sample).toHaveLength(2 * state.rows.length);
  });

  it('comes soon after the first rows, and then every ten minutes', async () => {
    const { state, source } = scene();
    source.start();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(new Set(state.told)).toEqual(new Set(['withdrawn']));
    state.rows = [rowOf(1, 20)];
    await vi.advanceTimersByTimeAsync(3_000);
    expect(state.told.at(-1)).toMatchObject({ canaries: [{ text: expect.stringContaining('src/1.ts') }] });
    const told = state.told.length;
    await vi.advanceTimersByTimeAsync(597_000);
    expect(state.told).toHaveLength(told);
    await vi.advanceTimersByTimeAsync(6_000);
    expect(state.told).toHaveLength(told + 1);
    source.stop();
  });

  it('is withdrawn when the collections are gone, and not because the store is away', async () => {
    const { state, source } = scene();
    state.rows = [rowOf(1, 20)];
    source.start();
    await vi.advanceTimersByTimeAsync(0);
    state.isAway = true;
    await vi.advanceTimersByTimeAsync(660_000);
    expect(state.told).toHaveLength(1);
    state.collections = [];
    await vi.advanceTimersByTimeAsync(3_000);
    expect(state.told.slice(1)).toEqual(['withdrawn']);
    source.stop();
  });

  it('is taken of the others where one collection cannot be read', async () => {
    const { state, source } = scene();
    state.collections.push({ name: 'damaged', space } as CollectionStamp);
    state.damaged = 'damaged';
    state.rows = [rowOf(1, 20)];
    source.start();
    await vi.advanceTimersByTimeAsync(0);
    source.stop();
    expect(state.told).toMatchObject([{ canaries: [{ collection: 'default' }] }]);
  });

  it('costs no sample every few seconds where no text can be told from its row', async () => {
    const { state, source } = scene();
    state.rows = [{ ...rowOf(1, 20), embeddedHash: 'of something else' }];
    source.start();
    await vi.advanceTimersByTimeAsync(660_000);
    source.stop();
    expect([state.sampled, state.told]).toEqual([2, []]);
  });

  it('holds the second vectors of collections whose second space it is', async () => {
    const { state, source } = scene();
    state.collections = [
      {
        name: 'both',
        space: { ...space, revision: 'r2', dimensions: 3 },
        secondSpace: space,
      } as CollectionStamp,
    ];
    state.rows = [{ ...rowOf(1, 20), vector: Float32Array.of(9, 9, 9), secondVector: Float32Array.of(1, 0) }];
    source.start();
    await vi.advanceTimersByTimeAsync(0);
    source.stop();
    expect(state.told).toMatchObject([
      { dimensions: 2, sample: Float32Array.of(1, 0), canaries: [{ collection: 'both' }] },
    ]);
  });

  it('is nothing of a collection that has moved while it was sampled', async () => {
    const { state, source } = scene();
    state.rows = [rowOf(1, 20)];
    state.movedTo = { name: 'default', space: { ...space, revision: 'r2' } } as CollectionStamp;
    source.start();
    await vi.advanceTimersByTimeAsync(0);
    source.stop();
    expect(state.told).toEqual(['withdrawn']);
  });

  it('is nothing of collections of another space', async () => {
    const { state, source } = scene();
    state.collections = [{ name: 'other', space: { ...space, revision: 'r2' } } as CollectionStamp];
    state.rows = [rowOf(1, 20)];
    source.start();
    await vi.advanceTimersByTimeAsync(0);
    source.stop();
    expect([state.sampled, state.told]).toEqual([0, ['withdrawn']]);
  });
});
