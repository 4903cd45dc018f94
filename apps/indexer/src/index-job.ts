import { emptyProgress, type IndexProgress, type SkippedFile } from '@embergate/contracts/index-job.ts';
import { runIndex, type IndexRunParts } from '@embergate/ingestion/index-run.ts';
import { undoRun } from '@embergate/ingestion/sweep.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { join } from 'node:path';
import { checkOut, headCommit } from './git.ts';
import type { IndexReport, IndexTask } from './ports.ts';

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
    await tell({});
    const checkout = source.type === 'git' ? await checkOut(source, join(clonesDir, jobId), signal) : null;
    try {
      const root = source.type === 'directory' ? source.path : (checkout?.folder ?? '');
      const commit = await headCommit(root);
      await tell({ commit });
      await runIndex(run, { runId: jobId, collection, repo, root, commit, mode, signal, onProgress });
      await tell({ state: 'completed' });
    } catch (error) {
      if (signal.reason !== 'cancelled') throw error;
      await undoRun(run.store, { collection, runId: jobId });
      await tell({ state: 'cancelled' });
    } finally {
      await checkout?.remove();
    }
  };
