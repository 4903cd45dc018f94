import type { VectorStore } from '@embergate/vector-store/store.ts';

/** The rows of a repo that matter to a run, by the key of their chunk. */
export interface KnownRows {
  /** Visible before the run is published, and not marked by it. */
  visible: Map<string, string>;
  /** Added by an earlier life of the run, or by its first reading. */
  own: Map<string, string>;
  /** Of those the keys that have no vector yet. */
  unembedded: ReadonlySet<string>;
}

/**
 * A row's id is the key of its chunk, so that the same chunk is the same row in every run. A full run makes new rows beside
 * the old ones, which searches see until it is published: its ids carry the run.
 */
export const rowId = (key: string, fullRunId: string | null): string =>
  fullRunId === null ? key : `${key}~${fullRunId}`;
const keyOf = (id: string): string => id.split('~', 1)[0] ?? id;

interface RunOfRepo {
  collection: string;
  repo: string;
  runId: string;
}

/** Reads which rows of a repo are there; a few dozen bytes of memory a row. */
export async function knownRows(store: VectorStore, run: RunOfRepo): Promise<KnownRows> {
  const [visible, own] = [new Map<string, string>(), new Map<string, string>()];
  for await (const page of remainingRows(store, run))
    for (const { key, id, isOwn } of page) (isOwn ? own : visible).set(key, id);
  // Only a repo's first run leaves rows without vectors, and it has some of its own then.
  const unembedded = own.size > 0 ? await unembeddedKeys(store, run) : new Set<string>();
  return { visible, own, unembedded };
}

export interface RemainingRow {
  key: string;
  id: string;
  isOwn: boolean;
}

/** The rows of a repo that stay when the run is published, but for those that it has not marked yet; in pages, of which a row may be in two. */
export async function* remainingRows(
  store: VectorStore,
  { collection, repo, runId }: RunOfRepo,
): AsyncGenerator<RemainingRow[], void, undefined> {
  const states = new Map((await store.listRuns(collection)).map((run) => [run.id, run.state]));
  // What another run's first reading left is seen, but goes with that run.
  const unpublished = (addedBy: string): boolean =>
    ['pending', 'embedding', 'cancelled'].includes(states.get(addedBy) ?? '');
  const removed = (removedBy: string | null): boolean =>
    removedBy !== null && (removedBy === runId || states.get(removedBy) === 'committed');
  for await (const page of store.stamps(collection, repo)) {
    yield page
      .filter(({ addedBy, removedBy }) => !removed(removedBy) && (addedBy === runId || !unpublished(addedBy)))
      .map(({ id, addedBy }) => ({ key: keyOf(id), id, isOwn: addedBy === runId }));
  }
}

async function unembeddedKeys(store: VectorStore, { collection, runId }: RunOfRepo): Promise<Set<string>> {
  const keys = new Set<string>();
  for await (const page of store.unembedded(collection, runId)) for (const id of page) keys.add(keyOf(id));
  return keys;
}
