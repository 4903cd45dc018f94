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

/** Reads which rows of a repo are there; a few dozen bytes of memory a row. */
export async function knownRows(
  store: VectorStore,
  { collection, repo, runId }: { collection: string; repo: string; runId: string },
): Promise<KnownRows> {
  const states = new Map((await store.listRuns(collection)).map((run) => [run.id, run.state]));
  // What another run's first reading left is seen, but goes with that run.
  const unpublished = (addedBy: string): boolean =>
    ['pending', 'embedding', 'cancelled'].includes(states.get(addedBy) ?? '');
  const removed = (removedBy: string | null): boolean =>
    removedBy !== null && (removedBy === runId || states.get(removedBy) === 'committed');
  const [visible, own] = [new Map<string, string>(), new Map<string, string>()];
  for await (const page of store.stamps(collection, repo)) {
    for (const { id, addedBy, removedBy } of page) {
      if (removed(removedBy)) continue;
      if (addedBy === runId) own.set(keyOf(id), id);
      else if (!unpublished(addedBy)) visible.set(keyOf(id), id);
    }
  }
  return { visible, own, unembedded: await unembeddedKeys(store, { collection, runId }) };
}

async function unembeddedKeys(
  store: VectorStore,
  { collection, runId }: { collection: string; runId: string },
): Promise<Set<string>> {
  const keys = new Set<string>();
  for await (const page of store.unembedded(collection, runId)) for (const id of page) keys.add(keyOf(id));
  return keys;
}
