import { AppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import { collectionListSchema } from '@embergate/contracts/http-cluster.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { OnUnreadable, VectorStore } from '@embergate/vector-store/store.ts';
import { expect, it } from 'vitest';
import { collectionList, deleteCollectionHandler } from '../src/routes/collections.ts';

const space: EmbeddingSpace = {
  ...{ model: 'm', revision: '1', dimensions: 2, pooling: 'mean', normalize: true },
  prompts: { query: '', document: '' },
};

/** A fake store of collections with three chunks each, some of which it fails to count. */
const storeOf = (
  collections: Record<string, ErrorCode | null>,
  { damaged, away }: { damaged?: string; away?: ErrorCode } = {},
): VectorStore =>
  ({
    listCollections: async (onUnreadable: OnUnreadable) => {
      if (damaged !== undefined) onUnreadable(damaged, new AppError('store_down', 'no stamp'));
      return Object.keys(collections).map((name) => ({
        name,
        space,
        secondSpace: null,
        createdAt: '2026-01-01',
      }));
    },
    ping: async () => {
      if (away) throw new AppError(away, 'no answer');
    },
    countByRepo: async (name: string) => {
      const code = collections[name];
      if (code) throw new AppError(code, `no counts of ${name}`);
      return [{ repo: 'code', chunks: 3 }];
    },
    countUnembedded: async () => [],
    listRuns: async () => [],
    sizeBytes: async () => null,
  }) as unknown as VectorStore;

it('a collection that the store refuses to tell about is named beside those that it tells about', async () => {
  const list = await collectionList(storeOf({ mine: null, strict: 'store_refused', yours: null }));
  expect(() => collectionListSchema.parse(list)).not.toThrow();
  expect(list.data.map(({ name, chunks }) => [name, chunks])).toEqual([
    ['mine', 3],
    ['yours', 3],
  ]);
  expect(list.unreadable).toEqual([
    { name: 'strict', code: 'store_refused', message: 'no counts of strict' },
  ]);
});

it('one that is dropped meanwhile is left out', async () => {
  const list = await collectionList(storeOf({ mine: null, gone: 'collection_not_found' }));
  expect({ names: list.data.map(({ name }) => name), unreadable: list.unreadable }).toEqual({
    names: ['mine'],
    unreadable: [],
  });
});

it.each(['store_down', 'store_denied'] as const)(
  'one that is %s hides the others only where the store itself is',
  async (code) => {
    const { data, unreadable } = await collectionList(storeOf({ mine: null, other: code }));
    expect(data.map(({ name }) => name)).toEqual(['mine']);
    expect(unreadable).toEqual([{ name: 'other', code, message: 'no counts of other' }]);
    await expect(collectionList(storeOf({ mine: null, other: code }, { away: code }))).rejects.toMatchObject({
      code,
    });
  },
);

it('a damaged one is named, whether others are there or not', async () => {
  const unreadable = [{ name: 'broken', code: 'store_down', message: 'no stamp' }];
  expect(await collectionList(storeOf({}, { damaged: 'broken' }))).toMatchObject({ data: [], unreadable });
  const list = await collectionList(storeOf({ mine: null }, { damaged: 'broken' }));
  expect(list).toMatchObject({ data: [{ name: 'mine' }], unreadable });
});

it('a collection into which a job indexes is not deleted: the job would go on writing to it', async () => {
  const dropped: string[] = [];
  const store = {
    dropCollection: async (name: string) => void dropped.push(name),
  } as unknown as VectorStore;
  const expectNoneIn = async (name: string): Promise<void> => {
    if (name === 'busy') throw new AppError('job_running', 'Job job-1 has not ended.');
  };
  const response = { status: () => response, end: () => undefined };
  const remove = (name: string): unknown =>
    deleteCollectionHandler(store, { expectNoneIn })({ params: { name } } as never, response as never);
  await expect(remove('busy')).rejects.toMatchObject({ code: 'job_running' });
  await remove('quiet');
  expect(dropped).toEqual(['quiet']);
});
