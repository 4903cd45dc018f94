import type { SearchFilter, Warning } from '@embergate/contracts/http-search.ts';
import type { RepoCount, VectorStore } from '@embergate/vector-store/store.ts';

type Counted = Pick<VectorStore, 'listRuns' | 'countByRepo' | 'countUnembedded'>;

/** Visible chunks, and those of them without a vector. */
interface Counts {
  chunks: RepoCount[];
  missing: RepoCount[];
}

interface SharedCounts {
  counts: Promise<Counts>;
  /** As performance.now(). */
  until: number;
}

/** A count that found something missing serves the searches of so many milliseconds after it. */
const SHARED_MS = 1_000;

/** By store and collection. */
const shared = new WeakMap<Counted, Map<string, SharedCounts>>();

/**
 * A warning where dense search can't find all that is searched yet: a repo of it is indexed for the first time. Null where all is
 * embedded, which costs no more than a look at the run records. Never fails: it is no reason to be without an answer.
 */
export async function partlyEmbedded(
  store: Counted,
  collection: string,
  { repo: repos }: SearchFilter,
): Promise<Warning | null> {
  const isSearched = ({ repo }: { repo: string }): boolean => repos?.includes(repo) ?? true;
  try {
    const runs = await store.listRuns(collection);
    if (!runs.some((run) => run.state === 'embedding' && isSearched(run))) return null;
    const counts = await sharedCounts(store, collection);
    const chunks = sum(counts.chunks.filter(isSearched));
    const embedded = Math.max(0, chunks - sum(counts.missing.filter(isSearched)));
    if (embedded >= chunks) return null;
    const percent = Math.floor((100 * embedded) / chunks);
    const of = repos ? `the ${chunks} chunks of ${repos.join(', ')}` : `the collection's ${chunks} chunks`;
    return {
      code: 'partly_embedded',
      message: `Vectors of ${embedded} of ${of} (${percent}%) have been made so far; the others are found by full text only.`,
    };
  } catch {
    return null;
  }
}

/** A count reads all of a collection: those who want one at the same time share it, and for a second what it says. */
function sharedCounts(store: Counted, collection: string): Promise<Counts> {
  const ofStore = shared.get(store) ?? new Map<string, SharedCounts>();
  shared.set(store, ofStore);
  const known = ofStore.get(collection);
  if (known && known.until > performance.now()) return known.counts;
  const made: SharedCounts = { counts: count(store, collection), until: Infinity };
  ofStore.set(collection, made);
  made.counts.then(
    // Where nothing is missing the first rows may be about to come.
    ({ missing }) => (made.until = missing.length > 0 ? performance.now() + SHARED_MS : 0),
    () => (made.until = 0),
  );
  return made.counts;
}

async function count(store: Counted, collection: string): Promise<Counts> {
  // In this order: vectors that come in between make the share smaller than it is, and never larger than all.
  const missing = await store.countUnembedded(collection);
  return { missing, chunks: await store.countByRepo(collection) };
}

const sum = (counts: readonly RepoCount[]): number => counts.reduce((all, { chunks }) => all + chunks, 0);
