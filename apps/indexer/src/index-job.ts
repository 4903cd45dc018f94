import {
  emptyProgress,
  type IndexJobPayload,
  type IndexProgress,
  type SkippedFile,
  type IndexReport,
} from '@embergate/contracts/index-job.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { Chunker } from '@embergate/ingestion/chunk.ts';
import type { OpenChunkSource } from '@embergate/ingestion/chunk-source.ts';
import { estimateRun } from '@embergate/ingestion/estimate.ts';
import { runIndex } from '@embergate/ingestion/index-run.ts';
import type { IndexRunParts, IndexRunRequest } from '@embergate/ingestion/run-request.ts';
import { abandonRun, undoRun } from '@embergate/ingestion/sweep.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import type { BulkEmbedder } from './bulk-embedder.ts';
import { checkOut, type CloneLimits } from './git.ts';
import { checkImport } from './import-check.ts';
import { withTimes, type SpeedParts } from './job-estimate.ts';
import { bringSource, type JobSource } from './job-source.ts';
import type { IndexTask } from './ports.ts';

export interface IndexJobParts extends SpeedParts {
  log: Logger;
  clonesDir: string;
  cloneLimits: CloneLimits;
  chunker: Chunker;
  run: Omit<IndexRunParts, 'embed'>;
  embedder: BulkEmbedder;
  /** Those that the deployment declares. */
  tiers: readonly TierName[];
  /** Of imported vectors and a worker's own. */
  minCosine: number;
}

/** Looked at before a job begins; a job that only asks for an estimate looks at all files. */
const SAMPLED_FILES = 200;

/** Works on one index job: brings the source, says what it will take, runs it, tells how far it is. */
export const indexJobHandler =
  (parts: IndexJobParts) =>
  async (task: IndexTask): Promise<void> => {
    const { log, clonesDir, cloneLimits, chunker, run } = parts;
    const { jobId, payload, signal, report } = task;
    const { collection, source } = payload;
    let last: IndexReport = { state: 'running', progress: emptyProgress(), skippedFiles: [], commit: null };
    const tell = async (change: Partial<IndexReport>): Promise<void> => {
      last = { ...last, ...change };
      await report(last);
    };
    let brought: JobSource | null = null;
    try {
      signal.throwIfAborted();
      await tell({});
      brought = await bringSource(source, {
        chunker,
        space: run.space,
        checkOut: (git) => checkOut(git, { clonesDir, jobId, signal, limits: cloneLimits }),
      });
      const { openSource, commit } = brought;
      const tiers = payload.tiers ?? parts.tiers;
      await tell({ commit, ...(await estimated(parts, task, { openSource, tiers })) });
      if (payload.estimateOnly !== true)
        await runIndex(...runOf(parts, task, { openSource, commit, tiers, tell }));
      await tell({ state: 'completed' });
    } catch (error) {
      // Another attempt, here or elsewhere, goes on with the run.
      if (signal.reason === 'stopping' || signal.reason === 'lost') throw error;
      if (signal.reason !== 'cancelled') {
        await giveUp(parts, payload, jobId).catch((why: unknown) => {
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

interface RunOptions {
  openSource: OpenChunkSource;
  tiers: readonly TierName[];
}

async function estimated(
  parts: IndexJobParts,
  { jobId, payload, signal }: IndexTask,
  { openSource, tiers }: RunOptions,
): Promise<Pick<IndexReport, 'estimate'>> {
  if (payload.source.type === 'vectors') return {};
  const { collection, repo, mode } = payload;
  const source = await openSource();
  try {
    const mostFiles = payload.estimateOnly === true ? Infinity : SAMPLED_FILES;
    const request = { collection, repo, mode, runId: jobId, source, mostFiles, signal };
    const estimate = await estimateRun(parts.run, request);
    return { estimate: estimate && (await withTimes(estimate, tiers, parts)) };
  } finally {
    await source.close();
  }
}

type Tell = (change: Partial<IndexReport>) => Promise<void>;

/** What runIndex is called with. */
function runOf(
  { log, run, embedder, minCosine }: IndexJobParts,
  { jobId, payload, signal }: IndexTask,
  { openSource, tiers, commit, tell }: RunOptions & { commit: string | null; tell: Tell },
): [IndexRunParts, IndexRunRequest] {
  const { collection, repo, mode } = payload;
  const onProgress = (
    progress: IndexProgress,
    skipped: readonly SkippedFile[],
    state: 'running' | 'publishing',
  ): void => {
    tell({ progress, skippedFiles: [...skipped], state }).catch((error: unknown) => {
      log.warn({ err: error, jobId }, 'progress could not be told');
    });
  };
  const checkVectors: IndexRunRequest['checkVectors'] = async (sample) => {
    const { tokenize } = run;
    await tell({ warnings: await checkImport(sample, { embedder, tokenize, minCosine, signal }) });
  };
  return [
    { ...run, embed: (inputs, options) => embedder.embed(inputs, options, tiers) },
    { runId: jobId, collection, repo, openSource, commit, mode, signal, onProgress, checkVectors },
  ];
}

/** Vectors that a model has made are worth keeping for the next try; those of an import are in its files. */
async function giveUp({ run }: IndexJobParts, payload: IndexJobPayload, runId: string): Promise<void> {
  const { collection, source } = payload;
  if (source.type === 'vectors') await undoRun(run.store, { collection, runId });
  else await abandonRun(run.store, { collection, runId });
}
