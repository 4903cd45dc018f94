import type { Warning } from '@embergate/contracts/http-search.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';

type Counted = Pick<VectorStore, 'listRuns' | 'countByRepo' | 'countUnembedded'>;

/**
 * A warning where dense search can't find all of a collection yet: a repo is indexed for the first time. Null where all is
 * embedded, which costs no more than a look at the run records. Never fails: it is no reason to be without an answer.
 */
export async function partlyEmbedded(store: Counted, collection: string): Promise<Warning | null> {
  try {
    const runs = await store.listRuns(collection);
    if (!runs.some(({ state }) => state === 'embedding')) return null;
    const { chunks, embedded } = await embeddedShare(store, collection);
    if (embedded >= chunks) return null;
    const percent = Math.floor((100 * embedded) / chunks);
    return {
      code: 'partly_embedded',
      message: `Vectors of ${embedded} of the collection's ${chunks} chunks (${percent}%) have been made so far; the others are found by full text only.`,
    };
  } catch {
    return null;
  }
}

/** How many of a collection's visible chunks there are, and how many of them have a vector. */
async function embeddedShare(
  store: Counted,
  collection: string,
): Promise<{ chunks: number; embedded: number }> {
  // In this order: vectors that come in between make the share smaller than it is, and never larger than all.
  const missing = await store.countUnembedded(collection);
  const counts = await store.countByRepo(collection);
  const sum = (repos: readonly { chunks: number }[]): number =>
    repos.reduce((all, repo) => all + repo.chunks, 0);
  const chunks = sum(counts);
  return { chunks, embedded: Math.max(0, chunks - sum(missing)) };
}
