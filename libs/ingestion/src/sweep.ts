import { toAppError } from '@embergate/contracts/errors.ts';
import type { RunRecord, VectorStore } from '@embergate/vector-store/store.ts';
import { KeyMarks } from './key-marks.ts';
import { keyAndSuffix } from './run-rows.ts';

interface RunName {
  collection: string;
  runId: string;
}

/** A search that began before a run was published may still read what the run removed. */
const SWEEP_GRACE_MS = 60_000;
/** How long vectors of a run that failed wait for another try to copy them: they may have cost hours. */
const FAILED_GRACE_MS = 3_600_000;

/** A search may read what a collection was before it was replaced; none takes this long. */
const REPLACED_GRACE_MS = 300_000;

export const isPublished = (run: RunRecord): boolean => run.state === 'committed' || run.state === 'swept';
export const isUnderWay = (run: RunRecord): boolean => run.state === 'pending' || run.state === 'embedding';

/**
 * Undoes a run that was cancelled: its rows go, its marks are cleared. A run that was never begun needs nothing.
 * @returns false when the run has been published; it is then left as it is.
 */
export async function undoRun(store: VectorStore, { collection, runId }: RunName): Promise<boolean> {
  try {
    const run = (await store.listRuns(collection)).find(({ id }) => id === runId);
    if (run && isPublished(run)) return false;
    await store.clearRemovedMarks(collection, runId);
    await store.deleteRows(collection, { addedBy: runId });
    await store.deleteRun(collection, runId);
    await dropIfUnused(store, collection);
  } catch (error) {
    ignoreMissingCollection(error);
  }
  return true;
}

/** A first run that came to nothing leaves no collection behind. One that somebody else filled has rows, and one that is used has runs. */
async function dropIfUnused(store: VectorStore, collection: string): Promise<void> {
  if ((await store.countByRepo(collection)).length > 0) return;
  // Last: another job may just have begun in it.
  if ((await store.listRuns(collection)).length > 0) return;
  await store.dropCollection(collection);
}

/**
 * Notes that nobody will go on with a run. Its vectors stay for a while, as the next run may copy them; then it is swept. A run that has
 * none is undone at once.
 */
export async function abandonRun(store: VectorStore, { collection, runId }: RunName): Promise<void> {
  try {
    const run = (await store.listRuns(collection)).find(({ id }) => id === runId);
    // Dropped and made anew while the run was under way, the collection knows nothing of it, and shows the rows that came after that.
    if (!run) return await store.deleteRows(collection, { addedBy: runId });
    if (!isUnderWay(run)) return;
    if (await hasVectors(store, run)) await markCancelled(store, run);
    else await undoRun(store, { collection, runId });
  } catch (error) {
    ignoreMissingCollection(error);
  }
}

const markCancelled = (store: VectorStore, run: RunRecord): Promise<void> =>
  store.putRun({ ...run, state: 'cancelled', finishedAt: new Date().toISOString() });

const OWN = 1;

/** Whether the run has added rows with vectors. Each row is counted once, also where a reading begins anew and brings it again. */
async function hasVectors(store: VectorStore, { collection, repo, id: runId }: RunRecord): Promise<boolean> {
  const marks = new KeyMarks();
  let embedded = 0;
  for await (const page of store.stamps(collection, repo))
    for (const { id, addedBy } of page)
      if (addedBy === runId && marks.add(keyAndSuffix(id).key, OWN)) embedded += 1;
  for await (const page of store.unembedded(collection, runId))
    for (const id of page) if (marks.remove(keyAndSuffix(id).key, OWN)) embedded -= 1;
  return embedded > 0;
}

/** A job may end before its collection was made, and a collection may be dropped while a job runs. */
function ignoreMissingCollection(error: unknown): void {
  if (toAppError(error).code !== 'collection_not_found') throw error;
}

/** Drops what moves have left whose job has ended, or is known no more: each is a whole collection. */
export async function sweepSuccessors(
  store: VectorStore,
  isUnended: (jobId: string) => Promise<boolean>,
): Promise<void> {
  for (const { name, id } of await store.listSuccessors())
    if (!(await isUnended(id))) await store.dropSuccessor(name, id);
}

/**
 * Gives up runs that nobody will go on with: their job ended while the store was away or full, or the queue has lost it. Their rows are
 * hidden now and swept an hour later, so that an attempt that has not noticed yet that it is lost has nothing taken from under it.
 *
 * @throws AggregateError of what failed; where the queue cannot be asked, nothing is given up.
 */
export async function abandonOrphans(
  store: VectorStore,
  isUnended: (jobId: string) => Promise<boolean>,
): Promise<void> {
  throwAny(await inEachCollection(store, (name) => abandonOrphansOf(store, name, isUnended)));
}

async function abandonOrphansOf(
  store: VectorStore,
  collection: string,
  isUnended: (jobId: string) => Promise<boolean>,
): Promise<void> {
  const orphans = new Set<string>();
  for (const run of await store.listRuns(collection))
    if (isUnderWay(run) && !(await isUnended(run.id))) orphans.add(run.id);
  if (orphans.size === 0) return;
  // Read again: a job whose end was seen above may have published its run right before it.
  for (const run of await store.listRuns(collection))
    if (orphans.has(run.id) && isUnderWay(run)) await markCancelled(store, run);
}

/**
 * Deletes the rows that committed runs removed, once no search can need them any more, and all of a run that was given
 * up. The record of a repo's last run stays, swept, as it says when and from which commit the repo was indexed; swept
 * records don't slow searches. What collections were before they were replaced goes too.
 *
 * @param now milliseconds since the epoch.
 * @throws AggregateError of what failed, after all other collections have been swept.
 */
export async function sweep(store: VectorStore, now: number): Promise<void> {
  const failures: unknown[] = [];
  await store.removeReplaced(REPLACED_GRACE_MS).catch((error: unknown) => failures.push(error));
  failures.push(...(await inEachCollection(store, (name) => sweepCollection(store, name, now))));
  throwAny(failures);
}

/** @returns what failed. */
async function inEachCollection(
  store: VectorStore,
  work: (collection: string) => Promise<void>,
): Promise<unknown[]> {
  const failures: unknown[] = [];
  for (const { name } of await store.listCollections((_name, error) => failures.push(error)))
    await work(name).catch((error: unknown) => failures.push(error));
  return failures;
}

function throwAny(failures: readonly unknown[]): void {
  if (failures.length > 0) throw new AggregateError(failures, 'not every collection could be swept');
}

async function sweepCollection(store: VectorStore, collection: string, now: number): Promise<void> {
  const runs = await store.listRuns(collection);
  for (const run of runs) {
    const endedFor = now - Date.parse(run.finishedAt ?? run.startedAt);
    if (run.state === 'cancelled' && endedFor >= FAILED_GRACE_MS) {
      await undoRun(store, { collection, runId: run.id });
      await store.optimize(collection).catch(ignoreMissingCollection);
    }
    if (run.state === 'committed' && endedFor >= SWEEP_GRACE_MS) {
      await store.deleteRows(collection, { removedBy: run.id });
      await store.optimize(collection);
      await store.putRun({ ...run, state: 'swept' });
    }
  }
  for (const run of outdated(runs)) await store.deleteRun(collection, run.id);
}

/** Swept records that a later run of the same repo makes useless. */
function outdated(runs: RunRecord[]): RunRecord[] {
  return runs.filter(
    (run) =>
      run.state === 'swept' &&
      runs.some((other) => other.repo === run.repo && isPublished(other) && other.startedAt > run.startedAt),
  );
}
