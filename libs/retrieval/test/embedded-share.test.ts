import { searchRequestSchema } from '@embergate/contracts/http-search.ts';
import type { RepoCount, RunRecord, RunState, VectorStore } from '@embergate/vector-store/store.ts';
import { describe, expect, it } from 'vitest';
import { partlyEmbedded } from '../src/embedded-share.ts';
import { search } from '../src/search.ts';

/** A store that says no more than how far a collection is; test/e2e/first-indexing.test.ts asks a real one. */
function storeOf(state: RunState, counts: { chunks: RepoCount[]; missing: RepoCount[] }) {
  let counted = 0;
  const count = async (repos: RepoCount[]): Promise<RepoCount[]> => {
    counted += 1;
    return repos;
  };
  return {
    counted: () => counted,
    listRuns: async () => [{ id: 'r', repo: 'b', state } as RunRecord],
    countByRepo: () => count(counts.chunks),
    countUnembedded: () => count(counts.missing),
  };
}

describe('a search of a collection that is indexed for the first time', () => {
  const chunks = [
    { repo: 'a', chunks: 600 },
    { repo: 'b', chunks: 400 },
  ];
  const missing = [{ repo: 'b', chunks: 126 }];

  it('says what share of it has vectors', async () => {
    const warning = await partlyEmbedded(storeOf('embedding', { chunks, missing }), 'default', {});
    expect(warning?.code).toBe('partly_embedded');
    expect(warning?.message).toContain("874 of the collection's 1000 chunks (87%)");
  });

  it('says nothing when all have one, though the run is not over', async () => {
    expect(await partlyEmbedded(storeOf('embedding', { chunks, missing: [] }), 'default', {})).toBeNull();
    expect(await partlyEmbedded(storeOf('embedding', { chunks: [], missing: [] }), 'default', {})).toBeNull();
  });

  it('says it of the repos that are searched, and counts nothing for those that are done', async () => {
    const store = storeOf('embedding', { chunks, missing });
    expect(await partlyEmbedded(store, 'default', { repo: ['a'] })).toBeNull();
    expect(store.counted()).toBe(0);
    const warning = await partlyEmbedded(store, 'default', { repo: ['b'] });
    expect(warning?.message).toContain('Vectors of 274 of the 400 chunks of b (68%)');
  });

  it('shares its counts with all that are searched at the same time, and for a moment after', async () => {
    const store = storeOf('embedding', { chunks, missing });
    const asked = ['default', 'default', 'other'].map((name) => partlyEmbedded(store, name, {}));
    for (const warning of await Promise.all(asked)) expect(warning?.code).toBe('partly_embedded');
    await partlyEmbedded(store, 'default', {});
    expect(store.counted()).toBe(4); // of two collections all chunks, and those without a vector
  });

  it('counts anew where nothing was missing: the first rows may just be coming', async () => {
    const counts = { chunks: [] as RepoCount[], missing: [] as RepoCount[] };
    const store = storeOf('embedding', counts);
    expect(await partlyEmbedded(store, 'default', {})).toBeNull();
    Object.assign(counts, { chunks, missing });
    expect(await partlyEmbedded(store, 'default', {})).not.toBeNull();
  });

  it('counts nothing where no run is embedding', async () => {
    for (const state of ['pending', 'committed', 'cancelled', 'swept'] as const) {
      const store = storeOf(state, { chunks, missing });
      expect(await partlyEmbedded(store, 'default', {})).toBeNull();
      expect(store.counted()).toBe(0);
    }
  });

  it('is answered all the same when the store does not count', async () => {
    const store = {
      ...storeOf('embedding', { chunks, missing }),
      countByRepo: () => Promise.reject(new Error('slow')),
    };
    expect(await partlyEmbedded(store, 'default', {})).toBeNull();
  });

  it('is answered all the same, and long before the deadline, when a count hangs', async () => {
    const store = {
      ...storeOf('embedding', { chunks, missing }),
      countByRepo: () => new Promise(() => undefined),
      getCollection: async () => ({}),
      searchLexical: async () => [],
    } as unknown as VectorStore;
    const parts = {
      store,
      embedder: {} as never,
      defaults: { deadlineMs: 0, degradation: 'allow' as const },
    };
    const request = searchRequestSchema.parse({ query: 'q', mode: 'lexical', deadlineMs: 600_000 });
    expect((await search(parts, request)).warnings).toEqual([]);
  }, 10_000);
});
