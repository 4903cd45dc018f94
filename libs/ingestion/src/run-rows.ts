import type { VectorStore } from '@embergate/vector-store/store.ts';

/** The rows of a repo that matter to a run, by the key of their chunk. */
export interface KnownRows {
  /** Visible before the run is published, and not marked by it. */
  visible: Map<string, string>;
  /** Added by an earlier life of the run. */
  own: Map<string, string>;
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
  const hidden = (addedBy: string): boolean => ['pending', 'cancelled'].includes(states.get(addedBy) ?? '');
  const removed = (removedBy: string | null): boolean =>
    removedBy !== null && (removedBy === runId || states.get(removedBy) === 'committed');
  const known: KnownRows = { visible: new Map(), own: new Map() };
  for await (const page of store.stamps(collection, repo)) {
    for (const { id, addedBy, removedBy } of page) {
      if (removed(removedBy)) continue;
      if (addedBy === runId) known.own.set(keyOf(id), id);
      else if (!hidden(addedBy)) known.visible.set(keyOf(id), id);
    }
  }
  return known;
}
