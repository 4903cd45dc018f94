import type { RepoCount, RunRecord, RunState } from '@embergate/vector-store/store.ts';
import { describe, expect, it } from 'vitest';
import { partlyEmbedded } from '../src/embedded-share.ts';

/** A store that says no more than how far a collection is; test/e2e/first-indexing.test.ts asks a real one. */
function storeOf(state: RunState, counts: { chunks: RepoCount[]; missing: RepoCount[] }) {
  let counted = 0;
  const count = async (repos: RepoCount[]): Promise<RepoCount[]> => {
    counted += 1;
    return repos;
  };
  return {
    counted: () => counted,
    listRuns: async () => [{ id: 'r', state } as RunRecord],
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
    const warning = await partlyEmbedded(storeOf('embedding', { chunks, missing }), 'default');
    expect(warning?.code).toBe('partly_embedded');
    expect(warning?.message).toContain("874 of the collection's 1000 chunks (87%)");
  });

  it('says nothing when all have one, though the run is not over', async () => {
    expect(await partlyEmbedded(storeOf('embedding', { chunks, missing: [] }), 'default')).toBeNull();
    expect(await partlyEmbedded(storeOf('embedding', { chunks: [], missing: [] }), 'default')).toBeNull();
  });

  it('counts nothing where no run is embedding', async () => {
    for (const state of ['pending', 'committed', 'cancelled', 'swept'] as const) {
      const store = storeOf(state, { chunks, missing });
      expect(await partlyEmbedded(store, 'default')).toBeNull();
      expect(store.counted()).toBe(0);
    }
  });

  it('is answered all the same when the store does not count', async () => {
    const store = {
      ...storeOf('embedding', { chunks, missing }),
      countByRepo: () => Promise.reject(new Error('slow')),
    };
    expect(await partlyEmbedded(store, 'default')).toBeNull();
  });
});
