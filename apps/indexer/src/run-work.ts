import { LEAST_AGREEMENT } from '@embergate/contracts/adoption.ts';
import type { IndexReport } from '@embergate/contracts/index-job.ts';
import type { WorkerView } from '@embergate/embedding/transport.ts';
import type { OpenChunkSource } from '@embergate/ingestion/chunk-source.ts';
import { estimateRun } from '@embergate/ingestion/estimate.ts';
import { runIndex } from '@embergate/ingestion/index-run.ts';
import type { IndexRunRequest } from '@embergate/ingestion/run-request.ts';
import { abandonRun, undoRun } from '@embergate/ingestion/sweep.ts';
import type { ForeignCollections } from '@embergate/vector-store/foreign-collections.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { checkOut, type CloneLimits } from './git.ts';
import { checkImport } from './import-check.ts';
import type { JobWork, Telling } from './index-job.ts';
import { embeddingsOf, type CollectionWriters, type IndexedSpaces } from './indexed-spaces.ts';
import { withTimes } from './job-estimate.ts';
import { bringSource, type JobSource, type RunSource } from './job-source.ts';
import type { IndexTask } from './ports.ts';

export interface RunWorkParts {
  clonesDir: string;
  cloneLimits: CloneLimits;
  store: VectorStore;
  foreign: ForeignCollections | null;
  spaces: IndexedSpaces;
  workers: WorkerView;
  /** Of imported vectors and a worker's own. */
  minCosine: number;
}

type RunTask = IndexTask & { source: RunSource };
type RunTelling = Telling & { store: VectorStore };

/** Looked at before a job begins; a job that only asks for an estimate looks at all files. */
const SAMPLED_FILES = 64;

/** Brings a job's source, says what it will take, and runs it. */
export function runWork(parts: RunWorkParts, task: RunTask, telling: RunTelling): JobWork {
  const { jobId, payload, source } = task;
  const { collection, model, spaces: [newSpace] = [] } = payload;
  const run = { collection, runId: jobId };
  const undo = async (): Promise<boolean> => {
    const isUndone = await undoRun(parts.store, run);
    // Gives back the space. Nobody waits for it, and where it fails the next sweep or run says why.
    void parts.store.optimize(collection).catch(() => undefined);
    return isUndone;
  };
  return {
    run: async () => {
      const wanted = { collection, newSpace, isFixed: model !== undefined };
      const writers = await parts.spaces.of(telling.store, wanted);
      const brought = await bring(parts, task, writers);
      try {
        await runOn(parts, task, { ...telling, writers, brought });
      } finally {
        await brought.remove();
      }
    },
    undo,
    // Vectors that a model has made are worth keeping for the next try; those that were brought are where they came from.
    giveUp: async () => {
      if (bringsVectors(source)) await undo();
      else await abandonRun(parts.store, run);
    },
  };
}

const bringsVectors = ({ type }: RunSource): boolean => type === 'vectors' || type === 'qdrant';

function bring(
  { clonesDir, cloneLimits, foreign }: RunWorkParts,
  { jobId, payload, source, signal }: RunTask,
  { first }: CollectionWriters,
): Promise<JobSource> {
  return bringSource(source, {
    chunker: first.chunker,
    space: first.space,
    repo: payload.repo,
    foreign,
    checkOut: (git) => checkOut(git, { clonesDir, jobId, signal, limits: cloneLimits }),
  });
}

interface Running extends RunTelling {
  writers: CollectionWriters;
  brought: JobSource;
}

async function runOn(parts: RunWorkParts, task: RunTask, running: Running): Promise<void> {
  const { tell, store, onProgress, onWaiting, writers, brought } = running;
  const { jobId: runId, payload, source, signal } = task;
  const { collection, repo, mode, tiers } = payload;
  const { first } = writers;
  const { openSource, commit } = brought;
  await tell({ commit, ...(await estimated(parts, task, running)) });
  if (payload.estimateOnly === true) return;
  const { embedder, tokenize } = first;
  const checkVectors: IndexRunRequest['checkVectors'] = async (sample) => {
    // What another program embedded may have been more than the text it kept: its likeness was looked at when it was adopted.
    const minCosine = source.type === 'qdrant' ? Math.min(LEAST_AGREEMENT, parts.minCosine) : parts.minCosine;
    await tell({ warnings: await checkImport(sample, { embedder, tokenize, minCosine, signal }) });
  };
  const embeddings = embeddingsOf(writers, { tiers, onWaiting });
  await runIndex(
    { store, ...embeddings.first, second: embeddings.second },
    { runId, collection, repo, openSource, commit, mode, signal, onProgress, checkVectors },
  );
}

async function estimated(
  { workers }: RunWorkParts,
  { jobId: runId, payload, source, signal }: RunTask,
  { store, writers: { first }, brought: { openSource } }: Running,
): Promise<Pick<IndexReport, 'estimate'>> {
  if (bringsVectors(source)) return {};
  const { collection, repo, mode, tiers = first.tiers } = payload;
  const mostFiles = payload.estimateOnly === true ? Infinity : SAMPLED_FILES;
  return withOpen(openSource, async (opened) => {
    const request = { collection, repo, mode, runId, source: opened, mostFiles, signal };
    const estimate = await estimateRun({ store, tokenize: first.tokenize }, request);
    return { estimate: estimate && (await withTimes(estimate, tiers, { workers, ...first })) };
  });
}

async function withOpen<T>(
  open: OpenChunkSource,
  work: (source: Awaited<ReturnType<OpenChunkSource>>) => Promise<T>,
): Promise<T> {
  const source = await open();
  try {
    return await work(source);
  } finally {
    await source.close();
  }
}
