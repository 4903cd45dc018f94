import type { RunRecord, VectorStore } from '@embergate/vector-store/store.ts';

/** A search that began before a run was published may still read what the run removed. */
const SWEEP_GRACE_MS = 60_000;

/** Undoes a run that was cancelled: its rows go, its marks are cleared. */
export async function undoRun(
  store: VectorStore,
  { collection, runId }: { collection: string; runId: string },
): Promise<void> {
  await store.clearRemovedMarks(collection, runId);
  await store.deleteRows(collection, { addedBy: runId });
  await store.deleteRun(collection, runId);
}

/**
 * Deletes the rows that committed runs removed, once no search can need them any more. The record of a repo's last run
 * stays, swept, as it says when and from which commit the repo was indexed; swept records don't slow searches.
 *
 * @param now milliseconds since the epoch.
 */
export async function sweep(store: VectorStore, now: number): Promise<void> {
  for (const { name } of await store.listCollections()) {
    const runs = await store.listRuns(name);
    for (const run of runs) {
      if (run.state !== 'committed' || now - Date.parse(run.finishedAt ?? run.startedAt) < SWEEP_GRACE_MS)
        continue;
      await store.deleteRows(name, { removedBy: run.id });
      await store.optimize(name);
      await store.putRun({ ...run, state: 'swept' });
    }
    for (const run of outdated(runs)) await store.deleteRun(name, run.id);
  }
}

/** Swept records that a later run of the same repo makes useless. */
function outdated(runs: RunRecord[]): RunRecord[] {
  return runs.filter(
    (run) =>
      run.state === 'swept' &&
      runs.some(
        (other) =>
          other.repo === run.repo &&
          (other.state === 'swept' || other.state === 'committed') &&
          other.startedAt > run.startedAt,
      ),
  );
}
