import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { existingCollection } from '@embergate/vector-store/existing-collection.ts';
import { allEnded } from '@embergate/vector-store/all-ended.ts';
import { checkSpaces } from '@embergate/vector-store/spaces.ts';
import type { RunRecord, RunState, VectorStore } from '@embergate/vector-store/store.ts';
import type { ChunkSource } from './chunk-source.ts';
import { EmbedAhead } from './embed-ahead.ts';
import { RunPass } from './run-pass.ts';
import { RunProgress } from './run-progress.ts';
import type { IndexRunParts, IndexRunRequest } from './run-request.ts';
import { RunChunks } from './run-chunks.ts';
import { expectFound } from './sample-search.ts';
import { isPublished, undoRun } from './sweep.ts';

const MARK_BATCH = 2_000;
/** A job that came to nothing may find a collection empty, and drop it, in the moment before this run is in it, or is seen there. */
const MAKE_ATTEMPTS = 3;

/**
 * One indexing of one source into one repo of a collection.
 *
 *   (none) --putRun--> pending --rows added, rows marked, all checked--> committed --sweep--> swept
 *                         |                                                    |
 *                         +--first run of a repo: rows without vectors--> embedding: full text sees all, dense search what has a vector
 *
 * Searches see nothing of a pending run and all of a committed one. Chunks that are there already stay; vectors known
 * for the same text, or for what was moved at its earlier path, are copied; only what has no vector of its own goes through the model. A run that was killed is started again with the
 * same id and finds its own rows; one that has been published already is left as it is.
 *
 * The first run of a repo reads its source twice: what there was before is nothing, so full text need not wait for the model. Nor does the
 * model wait for the end of the first reading; a source whose texts it has all taken by then, and none refused, is not read again.
 *
 * @throws AppError those of the source (`source_not_found` when it is not there, or no longer the same at the end), the store
 * or the model; the signal's reason when aborted. The run then stays pending or embedding, or was never begun.
 */
export async function runIndex(parts: IndexRunParts, request: IndexRunRequest): Promise<void> {
  const { store, space } = parts;
  const { collection, repo, runId, signal, openSource } = request;
  signal.throwIfAborted();
  const runs = await runsOf(store, { collection, space });
  const ofRepo = runs.filter((run) => run.repo === repo);
  const deadRuns = ofRepo.filter((run) => run.id !== runId && !isPublished(run));
  const earlier = ofRepo.find(({ id }) => id === runId);
  if (!earlier || !isPublished(earlier)) {
    const source = await openSource();
    try {
      const isFirst = !ofRepo.some(isPublished);
      await publishRun(parts, request, {
        source,
        deadRuns,
        isFirst,
        isEmbedding: earlier?.state === 'embedding',
        hasKnown: runs.length > 0,
      });
    } finally {
      await source.close();
    }
  }
  // Not before: their vectors may have been worth copying.
  for (const { id } of deadRuns) await undoRun(store, { collection, runId: id });
}

interface RunStart {
  source: ChunkSource;
  deadRuns: readonly RunRecord[];
  /** Nothing of the repo has been published. */
  isFirst: boolean;
  /** An earlier life of the run has shown all rows to full text. */
  isEmbedding: boolean;
  /** The collection may hold vectors of texts that the source has. */
  hasKnown: boolean;
}

/** None where the collection has not been made: it is made once the source has been opened, and not for one that cannot be. */
async function runsOf(
  store: VectorStore,
  { collection, space }: { collection: string; space: EmbeddingSpace },
): Promise<RunRecord[]> {
  if (!(await existingCollection(store, collection))) return [];
  await store.ensureCollection(collection, space);
  return store.listRuns(collection);
}

async function beginRun(
  { store, space }: IndexRunParts,
  run: RunRecord,
  deadRuns: readonly RunRecord[],
): Promise<void> {
  const { collection } = run;
  for (let attempt = 1; ; attempt++) {
    await store.ensureCollection(collection, space);
    try {
      await store.putRun(run);
      // Marks of an earlier life of this run, or of one that never ended, may name chunks that the source has again.
      for (const { id } of [run, ...deadRuns]) await store.clearRemovedMarks(collection, id);
      return;
    } catch (error) {
      if (toAppError(error).code !== 'collection_not_found' || attempt === MAKE_ATTEMPTS) throw error;
    }
  }
}

async function publishRun(
  parts: IndexRunParts,
  request: IndexRunRequest,
  { source, deadRuns, isFirst, isEmbedding, hasKnown }: RunStart,
): Promise<void> {
  const { store } = parts;
  const { collection, repo, runId, commit } = request;
  const run = { id: runId, collection, repo, commit, startedAt: new Date().toISOString() };
  const put = (state: RunState): Promise<void> =>
    store.putRun({ ...run, state, finishedAt: state === 'committed' ? new Date().toISOString() : null });
  const state = isEmbedding ? 'embedding' : 'pending';
  await beginRun(parts, { ...run, state, finishedAt: null }, deadRuns);

  const progress = new RunProgress(request.onProgress);
  const chunks = new RunChunks(request);
  const ahead = new EmbedAhead();
  const failing = new AbortController();
  const signal = AbortSignal.any([request.signal, failing.signal]);
  const read = async (embed: 'now' | 'later'): Promise<RunPass> => {
    await chunks.read(store, await source.paths?.());
    // By its second reading a run has made vectors itself.
    const options = { chunks, progress, embed, ahead, failing, hasKnown: hasKnown || embed === 'now' };
    const pass = new RunPass(parts, { ...request, signal }, options);
    await pass.addNewChunks(source);
    return pass;
  };
  try {
    if (isEmbedding) progress.searchable();
    const first = isFirst && !isEmbedding ? await read('later') : null;
    let pass = first;
    if (pass && (await chunks.lacksVectors(store))) {
      await expectPublishable(parts, request, { source, pass, chunks, as: 'embedding' });
      await put('embedding');
      progress.searchable();
      if (!ahead.tookAll || (await ahead.finish()).length > 0) pass = null;
    }
    if (!pass) {
      if (first) progress.readAgain();
      pass = await read('now');
    }
    pass.leaveOut(await ahead.finish());
    await markStale(store, request, { pass, chunks });
    // Only a repo's first run writes rows without vectors.
    if (isFirst) await expectVectors(store, chunks);
    await expectPublishable(parts, request, { source, pass, chunks, as: 'committed' });
    await put('committed');
  } catch (error) {
    failing.abort(error);
    throw error;
  } finally {
    await ahead.settled();
  }
}

interface PassDone {
  pass: RunPass;
  chunks: RunChunks;
}

interface Publishing extends PassDone {
  source: ChunkSource;
  as: 'embedding' | 'committed';
}

/** Right before the step by which searches see the rows. */
async function expectPublishable(
  { store, space, second }: IndexRunParts,
  request: IndexRunRequest,
  { source, pass, chunks, as }: Publishing,
): Promise<void> {
  await checkCount(store, chunks);
  const { vectors } = pass.sample;
  if (vectors.length > 0) await request.checkVectors?.(vectors);
  // Before anybody sees the rows: a search would have to scan what the full-text index does not hold yet.
  await store.optimize(request.collection);
  const sample = pass.sample.searched.filter(({ key }) => chunks.isFound(key));
  const by = as === 'committed' ? 'text and vectors' : 'text';
  // The collection may have been dropped and made anew, of another space, at any time since the run began.
  const isOfSpace = store
    .getCollection(request.collection)
    .then((stamp) => checkSpaces(stamp, { space, secondSpace: second?.space ?? null }));
  await allEnded([isOfSpace, expectFound(store, request, { sample, chunks, by })]);
  await source.expectUnchanged();
  request.signal.throwIfAborted();
}

/** Somebody else may have written a row over its embedded self: an attempt at this run that has not noticed yet that it lost it. */
async function expectVectors(store: VectorStore, chunks: RunChunks): Promise<void> {
  if (await chunks.lacksVectors(store))
    throw new AppError('index_failed', 'The store has lost vectors of this run; nothing was published.');
}

async function markStale(
  store: VectorStore,
  { collection, runId }: IndexRunRequest,
  { pass, chunks }: PassDone,
): Promise<void> {
  let marked = 0;
  pass.progress.publishing(marked);
  let page: string[] = [];
  const mark = async (): Promise<void> => {
    if (page.length === 0) return;
    await store.markRemoved(collection, page, runId);
    pass.progress.publishing((marked += page.length));
    page = [];
  };
  for (const id of chunks.staleIds()) {
    page.push(id);
    if (page.length === MARK_BATCH) await mark();
  }
  await mark();
}

/** What is about to be published must be what was found: a row lost on the way would be missing from every answer. */
async function checkCount(store: VectorStore, chunks: RunChunks): Promise<void> {
  const { missing, unknown } = await chunks.compare(store);
  if (missing === 0 && unknown === 0) return;
  const count = chunks.foundCount - missing + unknown;
  throw new AppError(
    'index_failed',
    `The store holds ${count} chunks where ${chunks.foundCount} were found; nothing was published.`,
  );
}
