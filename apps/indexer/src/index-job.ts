import { emptyProgress, type IndexReport } from '@embergate/contracts/index-job.ts';
import { runIndex } from '@embergate/ingestion/index-run.ts';
import { moveCollection } from '@embergate/ingestion/move-collection.ts';
import { patientStore } from '@embergate/ingestion/patient-store.ts';
import type { ProgressListener } from '@embergate/ingestion/run-progress.ts';
import { abandonRun, undoRun } from '@embergate/ingestion/sweep.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import type { ForeignCollections } from '@embergate/vector-store/foreign-collections.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { checkOut } from './git.ts';
import type { IndexedSpaces } from './indexed-spaces.ts';
import { bringSource, type RunSource } from './job-source.ts';
import type { IndexTask } from './ports.ts';

export interface IndexJobParts {
  log: Logger;
  clonesDir: string;
  store: VectorStore;
  foreign: ForeignCollections | null;
  spaces: IndexedSpaces;
}

/** What a kind of job does, and what becomes of it when it ends otherwise. */
interface JobWork {
  run: () => Promise<void>;
  /** It was cancelled. @returns false where it had been published before. */
  undo: () => Promise<boolean>;
  /** It failed, and nobody will go on with it. */
  giveUp: () => Promise<void>;
}

interface Telling {
  tell: (change: Partial<IndexReport>) => Promise<void>;
  /** What is no failure of the job where it cannot be told. */
  tellSoon: (change: Partial<IndexReport>) => void;
  onProgress: ProgressListener;
}

/** Works on one index job: an index run of its source, or a move of its collection; tells how far it is. */
export const indexJobHandler =
  (parts: IndexJobParts) =>
  async (task: IndexTask): Promise<void> => {
    const { signal } = task;
    const told = telling(parts.log, task);
    const { tell } = told;
    const { source } = task.payload;
    const work =
      source.type === 'collection' ? moveWork(parts, task, told) : runWork(parts, { ...task, source }, told);
    try {
      signal.throwIfAborted();
      await tell({});
      await work.run();
      await tell({ state: 'completed' });
    } catch (error) {
      // Another attempt, here or elsewhere, goes on with it.
      if (signal.reason === 'stopping' || signal.reason === 'lost') throw error;
      if (signal.reason !== 'cancelled') {
        await work.giveUp().catch((why: unknown) => {
          parts.log.warn({ err: why, jobId: task.jobId }, 'the failed job could not be given up');
        });
        throw error;
      }
      const undone = await work.undo();
      await tell({ state: undone ? 'cancelled' : 'completed' });
    }
  };

function telling(log: Logger, { jobId, report }: IndexTask): Telling {
  let last: IndexReport = {
    state: 'running',
    progress: emptyProgress(),
    skippedFiles: [],
    commit: null,
    waitingFor: null,
  };
  const tell = async (change: Partial<IndexReport>): Promise<void> => {
    last = { ...last, ...change };
    await report(last);
  };
  const tellSoon = (change: Partial<IndexReport>): void => {
    tell(change).catch((error: unknown) => log.warn({ err: error, jobId }, 'progress could not be told'));
  };
  const onProgress: ProgressListener = (progress, skipped, state) =>
    tellSoon({ progress, skippedFiles: [...skipped], state });
  return { tell, tellSoon, onProgress };
}

/** The store of a job's work: while it is away the job waits, and says so. What undoes the work does not wait. */
const waitingStore = (
  { store, log }: IndexJobParts,
  { jobId, signal }: IndexTask,
  { tellSoon }: Telling,
): VectorStore =>
  patientStore(store, {
    signal,
    onWaiting: (failure) => {
      if (failure) log.warn({ err: failure, jobId }, 'the job waits for the vector store');
      else log.info({ jobId }, 'the vector store answers again');
      tellSoon({ waitingFor: failure && `the vector store: ${failure.message}` });
    },
  });

function runWork(parts: IndexJobParts, task: IndexTask & { source: RunSource }, telling: Telling): JobWork {
  const { clonesDir, spaces, foreign } = parts;
  const { jobId, payload, source, signal } = task;
  const { tell, onProgress } = telling;
  const store = waitingStore(parts, task, telling);
  const { collection, repo, mode, model, spaces: [newSpace] = [] } = payload;
  const run = { collection, runId: jobId };
  return {
    run: async () => {
      const { first, second } = await spaces.of(store, {
        collection,
        newSpace,
        isFixed: model !== undefined,
      });
      const { openSource, commit, remove } = await bringSource(source, {
        chunker: first.chunker,
        space: first.embedding.space,
        repo,
        foreign,
        checkOut: (git) => checkOut(git, { clonesDir, jobId, signal }),
      });
      try {
        await tell({ commit });
        const embeddings = { store, ...first.embedding, second: second?.embedding ?? null };
        await runIndex(embeddings, { ...run, repo, openSource, commit, mode, signal, onProgress });
      } finally {
        await remove();
      }
    },
    undo: () => undoRun(parts.store, run),
    giveUp: () => abandonRun(parts.store, run),
  };
}

function moveWork(parts: IndexJobParts, task: IndexTask, telling: Telling): JobWork {
  const { jobId, payload, signal } = task;
  const { collection, spaces: ids = [] } = payload;
  const { onProgress } = telling;
  const drop = (): Promise<'dropped' | 'replaced'> => parts.store.dropSuccessor(collection, jobId);
  return {
    run: async () => {
      const { first, second } = parts.spaces.withIds(ids);
      const store = waitingStore(parts, task, telling);
      const embeddings = { store, first: first.embedding, second: second?.embedding ?? null };
      await moveCollection(embeddings, { moveId: jobId, collection, signal, onProgress });
    },
    undo: async () => (await drop()) === 'dropped',
    giveUp: async () => void (await drop()),
  };
}
