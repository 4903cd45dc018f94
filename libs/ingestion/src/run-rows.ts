import type { VectorStore } from '@embergate/vector-store/store.ts';

/**
 * A row's id is the key of its chunk, so that the same chunk is the same row in every run. A full run makes new rows beside
 * the old ones, which searches see until it is published: its ids carry the run.
 */
export const rowId = (key: string, fullRunId: string | null): string =>
  fullRunId === null ? key : `${key}~${fullRunId}`;

export function keyAndSuffix(id: string): { key: string; suffix: string } {
  const end = id.indexOf('~');
  return end < 0 ? { key: id, suffix: '' } : { key: id.slice(0, end), suffix: id.slice(end) };
}

export interface RunOfRepo {
  collection: string;
  repo: string;
  runId: string;
}

export interface RemainingRow {
  id: string;
  path: string;
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
      .map(({ id, path, addedBy }) => ({ id, path, isOwn: addedBy === runId }));
  }
}
