import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { RunRecord, VectorStore } from '@embergate/vector-store/store.ts';
import type { ChunkSource } from './chunk-source.ts';
import { RunPass } from './run-pass.ts';
import type { IndexRunParts, IndexRunRequest } from './run-request.ts';
import { knownRows } from './run-rows.ts';
import { isPublished, undoRun } from './sweep.ts';

const MARK_BATCH = 2_000;
/** A sweep may find a new collection empty, and drop it, in the moment before it has a run. */
const MAKE_ATTEMPTS = 3;

/**
 * One indexing of one source into one repo of a collection.
 *
 *   (none) --putRun--> pending --rows added, rows marked, counts checked--> committed --sweep--> swept
 *
 * Searches see nothing of a pending run and all of a committed one. Chunks that are there already stay; vectors known
 * for the same text are copied; only what has no vector of its own goes through the model. A run that was killed is started again with the
 * same id and finds its own rows; one that has been published already is left as it is.
 *
 * @throws AppError those of the source (`source_not_found` when it is not there, or no longer the same at the end), the store
 * or the model; the signal's reason when aborted. The run then stays pending, or was never begun.
 */
export async function runIndex(parts: IndexRunParts, request: IndexRunRequest): Promise<void> {
  const { store, space } = parts;
  const { collection, repo, runId, signal, openSource } = request;
  signal.throwIfAborted();
  const runs = await runsOf(store, { collection, space });
  const deadRuns = runs.filter((run) => run.repo === repo && run.id !== runId && !isPublished(run));
  const earlier = runs.find(({ id }) => id === runId);
  if (!earlier || !isPublished(earlier)) {
    const source = await openSource();
    try {
      await publishRun(parts, request, { source, deadRuns });
    } finally {
      await source.close();
    }
  }
  // Not before: their vectors may have been worth copying.
  for (const { id } of deadRuns) await undoRun(store, { collection, runId: id });
}

/** None where the collection has not been made: it is made once the source has been opened, and not for one that cannot be. */
async function runsOf(
  store: VectorStore,
  { collection, space }: { collection: string; space: EmbeddingSpace },
): Promise<RunRecord[]> {
  const exists = (await store.listCollections()).some(({ name }) => name === collection);
  if (!exists) return [];
  await store.ensureCollection(collection, space);
  return store.listRuns(collection);
}

async function beginRun(parts: IndexRunParts, run: Omit<RunRecord, 'state' | 'finishedAt'>): Promise<void> {
  const { store, space } = parts;
  for (let attempt = 1; ; attempt++) {
    await store.ensureCollection(run.collection, space);
    try {
      return await store.putRun({ ...run, state: 'pending', finishedAt: null });
    } catch (error) {
      if (toAppError(error).code !== 'collection_not_found' || attempt === MAKE_ATTEMPTS) throw error;
    }
  }
}

async function publishRun(
  parts: IndexRunParts,
  request: IndexRunRequest,
  { source, deadRuns }: { source: ChunkSource; deadRuns: readonly RunRecord[] },
): Promise<void> {
  const { store } = parts;
  const { collection, repo, runId, commit, signal } = request;
  const run = { id: runId, collection, repo, commit, startedAt: new Date().toISOString() };
  await beginRun(parts, run);
  // Marks of an earlier life of this run, or of one that never ended, may name chunks that the source has again.
  for (const { id } of [run, ...deadRuns]) await store.clearRemovedMarks(collection, id);

  const pass = new RunPass(parts, request, await knownRows(store, request));
  await pass.addNewChunks(source);
  if (pass.sample.length > 0) await request.checkVectors?.(pass.sample);
  await markStale(store, request, pass);
  await checkCount(store, request, pass.chunkCount);
  // Before anybody sees the rows: a search would have to scan what the full-text index does not hold yet.
  await store.optimize(collection);
  await source.expectUnchanged();
  signal.throwIfAborted();
  await store.putRun({ ...run, state: 'committed', finishedAt: new Date().toISOString() });
}

async function markStale(store: VectorStore, request: IndexRunRequest, pass: RunPass): Promise<void> {
  const stale = pass.stale();
  pass.progress.publishing(stale.length);
  for (let at = 0; at < stale.length; at += MARK_BATCH) {
    await store.markRemoved(request.collection, stale.slice(at, at + MARK_BATCH), request.runId);
  }
}

/** What is about to be published must be what was found: a row lost on the way would be missing from every answer. */
async function checkCount(store: VectorStore, request: IndexRunRequest, expected: number): Promise<void> {
  const { visible, own } = await knownRows(store, request);
  const count = visible.size + own.size;
  if (count === expected) return;
  throw new AppError(
    'index_failed',
    `The store holds ${count} chunks where ${expected} were found; nothing was published.`,
  );
}
