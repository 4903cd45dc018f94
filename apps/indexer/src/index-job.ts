import {
  emptyProgress,
  type IndexProgress,
  type SkippedFile,
  type IndexReport,
} from '@embergate/contracts/index-job.ts';
import { runIndex, type IndexRunParts } from '@embergate/ingestion/index-run.ts';
import { abandonRun, undoRun } from '@embergate/ingestion/sweep.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { checkOut, headCommit, type Checkout } from './git.ts';
import type { IndexTask } from './ports.ts';

export interface IndexJobParts {
  log: Logger;
  clonesDir: string;
  run: IndexRunParts;
}

/** Works on one index job: brings the source, runs it, tells how far it is. */
export const indexJobHandler =
  ({ log, clonesDir, run }: IndexJobParts) =>
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
    let checkout: Checkout | null = null;
    try {
      signal.throwIfAborted();
      await tell({});
      if (source.type === 'git') checkout = await checkOut(source, { clonesDir, jobId, signal });
      const root = source.type === 'directory' ? source.path : (checkout?.folder ?? '');
      const commit = await headCommit(root);
      await tell({ commit });
      await runIndex(run, { runId: jobId, collection, repo, root, commit, mode, signal, onProgress });
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
      await checkout?.remove();
    }
  };
