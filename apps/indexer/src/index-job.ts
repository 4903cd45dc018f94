import {
  emptyProgress,
  type IndexProgress,
  type IndexReport,
  type SkippedFile,
} from '@embergate/contracts/index-job.ts';
import { runIndex } from '@embergate/ingestion/index-run.ts';
import { moveCollection } from '@embergate/ingestion/move-collection.ts';
import type { ProgressListener } from '@embergate/ingestion/run-progress.ts';
import { abandonRun, undoRun } from '@embergate/ingestion/sweep.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { checkOut } from './git.ts';
import type { IndexedSpaces } from './indexed-spaces.ts';
import { bringSource, type RunSource } from './job-source.ts';
import type { IndexTask } from './ports.ts';

export interface IndexJobParts {
  log: Logger;
  clonesDir: string;
  store: VectorStore;
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
  onProgress: ProgressListener;
}

/** Works on one index job: an index run of its source, or a move of its collection; tells how far it is. */
export const indexJobHandler =
  (parts: IndexJobParts) =>
  async (task: IndexTask): Promise<void> => {
    const { signal } = task;
    const { tell, onProgress } = telling(parts.log, task);
    const { source } = task.payload;
    const work =
      source.type === 'collection'
        ? moveWork(parts, task, onProgress)
        : runWork(parts, { ...task, source }, { tell, onProgress });
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
  let last: IndexReport = { state: 'running', progress: emptyProgress(), skippedFiles: [], commit: null };
  const tell = async (change: Partial<IndexReport>): Promise<void> => {
    last = { ...last, ...change };
    await report(last);
  };
  const onProgress = (
    progress: IndexProgress,
    skipped: readonly SkippedFile[],
    state: 'running' | 'publishing',
  ): void => {
    tell({ progress, skippedFiles: [...skipped], state }).catch((error: unknown) => {
      log.warn({ err: error, jobId }, 'progress could not be told');
    });
  };
  return { tell, onProgress };
}

function runWork(
  { clonesDir, store, spaces }: IndexJobParts,
  { jobId, payload, source, signal }: IndexTask & { source: RunSource },
  { tell, onProgress }: Telling,
): JobWork {
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
        checkOut: (git) => checkOut(git, { clonesDir, jobId, signal }),
      });
      try {
        await tell({ commit });
        const parts = { store, ...first.embedding, second: second?.embedding ?? null };
        await runIndex(parts, { ...run, repo, openSource, commit, mode, signal, onProgress });
      } finally {
        await remove();
      }
    },
    undo: () => undoRun(store, run),
    giveUp: () => abandonRun(store, run),
  };
}

function moveWork(
  { store, spaces }: IndexJobParts,
  { jobId, payload: { collection, spaces: ids = [] }, signal }: IndexTask,
  onProgress: ProgressListener,
): JobWork {
  const drop = (): Promise<'dropped' | 'replaced'> => store.dropSuccessor(collection, jobId);
  return {
    run: async () => {
      const { first, second } = spaces.withIds(ids);
      const parts = { store, first: first.embedding, second: second?.embedding ?? null };
      await moveCollection(parts, { moveId: jobId, collection, signal, onProgress });
    },
    undo: async () => (await drop()) === 'dropped',
    giveUp: async () => void (await drop()),
  };
}
