import {
  emptyProgress,
  type IndexProgress,
  type SkippedFile,
  type IndexReport,
} from '@embergate/contracts/index-job.ts';
import type { Chunker } from '@embergate/ingestion/chunk.ts';
import { runIndex } from '@embergate/ingestion/index-run.ts';
import type { IndexRunParts } from '@embergate/ingestion/run-request.ts';
import { abandonRun, undoRun } from '@embergate/ingestion/sweep.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { checkOut } from './git.ts';
import { bringSource, type JobSource } from './job-source.ts';
import type { IndexTask } from './ports.ts';

export interface IndexJobParts {
  log: Logger;
  clonesDir: string;
  chunker: Chunker;
  run: IndexRunParts;
}

/** Works on one index job: brings the source, runs it, tells how far it is. */
export const indexJobHandler =
  ({ log, clonesDir, chunker, run }: IndexJobParts) =>
  async ({ jobId, payload, signal, report }: IndexTask): Promise<void> => {
    const { collection, repo, source, mode } = payload;
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
    let brought: JobSource | null = null;
    try {
      signal.throwIfAborted();
      await tell({});
      brought = await bringSource(source, {
        chunker,
        space: run.space,
        checkOut: (git) => checkOut(git, { clonesDir, jobId, signal }),
      });
      const { openSource, commit } = brought;
      await tell({ commit });
      await runIndex(run, { runId: jobId, collection, repo, openSource, commit, mode, signal, onProgress });
      await tell({ state: 'completed' });
    } catch (error) {
      // Another attempt, here or elsewhere, goes on with the run.
      if (signal.reason === 'stopping' || signal.reason === 'lost') throw error;
      if (signal.reason !== 'cancelled') {
        await abandonRun(run.store, { collection, runId: jobId }).catch((why: unknown) => {
          log.warn({ err: why, jobId }, 'the failed run could not be given up');
        });
        throw error;
      }
      const undone = await undoRun(run.store, { collection, runId: jobId });
      await tell({ state: undone ? 'cancelled' : 'completed' });
    } finally {
      await brought?.remove();
    }
  };
