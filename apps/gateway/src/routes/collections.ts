import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import type { Collection, CollectionList } from '@embergate/contracts/http-cluster.ts';
import { collectionNameSchema } from '@embergate/contracts/http-search.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import type { CollectionStamp, VectorStore } from '@embergate/vector-store/store.ts';
import type { Request } from 'express';
import type { Handler } from '../app.ts';
import type { IndexJobs } from '../ports.ts';

export const listCollectionsHandler =
  (store: VectorStore): Handler =>
  async (_request, response) => {
    response.json(await collectionList(store));
  };

/** One collection that cannot be read does not hide the others. Throws what is wrong with the store itself. */
export async function collectionList(store: VectorStore): Promise<CollectionList> {
  const list: CollectionList = { data: [], nextCursor: null, unreadable: [] };
  const stamps = await store.listCollections((name, { code, message }) =>
    list.unreadable.push({ name, code, message }),
  );
  for (const one of await Promise.all(stamps.map((stamp) => describeIfTold(store, stamp)))) {
    if (one === null) continue;
    if ('code' in one) list.unreadable.push(one);
    else list.data.push(one);
  }
  if (list.unreadable.length > 0) await store.ping();
  return list;
}

/** Null for one that was dropped in between. */
async function describeIfTold(
  store: VectorStore,
  stamp: CollectionStamp,
): Promise<Collection | CollectionList['unreadable'][number] | null> {
  try {
    return await describe(store, stamp);
  } catch (error) {
    const { code, message } = toAppError(error);
    if (code === 'collection_not_found') return null;
    return { name: stamp.name, code, message };
  }
}

export const getCollectionHandler =
  (store: VectorStore): Handler =>
  async (request, response) => {
    response.json(await describe(store, await store.getCollection(nameIn(request))));
  };

export const deleteCollectionHandler =
  (store: VectorStore, jobs: Pick<IndexJobs, 'expectNoneIn'>): Handler =>
  async (request, response) => {
    const name = nameIn(request);
    // It would go on writing to a collection that is made anew meanwhile.
    await jobs.expectNoneIn(name);
    // Not read before: one that is damaged can go, too. Where there is none the store says so.
    await store.dropCollection(name);
    response.status(204).end();
  };

/** What can be no collection's name is none, whatever a store would make of it. */
function nameIn({ params }: Request): string {
  const name = collectionNameSchema.safeParse(params['name']);
  if (!name.success)
    throw new AppError('collection_not_found', `There is no collection "${String(params['name'])}"`);
  return name.data;
}

async function describe(
  store: VectorStore,
  { name, space, secondSpace, createdAt }: CollectionStamp,
): Promise<Collection> {
  // Before the chunks: vectors that come in between must not make more of them than there are chunks.
  const missing = new Map((await store.countUnembedded(name)).map(({ repo, chunks }) => [repo, chunks]));
  const [counts, runs, sizeBytes] = await Promise.all([
    store.countByRepo(name),
    store.listRuns(name),
    store.sizeBytes(name),
  ]);
  // Swept: published, and what it removed has been deleted since.
  const published = runs
    .filter(({ state }) => state === 'committed' || state === 'swept')
    .sort((a, b) => b.startedAt.localeCompare(a.startedAt));
  const repos = counts.map(({ repo, chunks }) => {
    const last = published.find((run) => run.repo === repo);
    return {
      name: repo,
      chunks,
      embedded: Math.max(0, chunks - (missing.get(repo) ?? 0)),
      commit: last?.commit ?? null,
      lastRun: last?.id ?? null,
      lastRunAt: last?.finishedAt ?? null,
    };
  });
  return {
    name,
    space,
    spaceId: spaceId(space),
    secondSpaceId: secondSpace && spaceId(secondSpace),
    chunks: repos.reduce((sum, { chunks }) => sum + chunks, 0),
    embedded: repos.reduce((sum, { embedded }) => sum + embedded, 0),
    repos,
    sizeBytes,
    createdAt,
  };
}
