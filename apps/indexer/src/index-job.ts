import { toAppError } from '@embergate/contracts/errors.ts';
import { emptyProgress, type IndexReport } from '@embergate/contracts/index-job.ts';
import { moveCollection } from '@embergate/ingestion/move-collection.ts';
import { patientStore, STORE_AWAY } from '@embergate/ingestion/patient-store.ts';
import type { ProgressListener } from '@embergate/ingestion/run-progress.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { setTimeout as delay } from 'node:timers/promises';
import { embeddingsOf, type CollectionWriters } from './indexed-spaces.ts';
import type { IndexTask } from './ports.ts';
import { runWork, type RunWorkParts } from './run-work.ts';

export interface IndexJobParts extends RunWorkParts {
  log: Logger;
}

/** What a kind of job does, and what becomes of it when it ends otherwise. */
export interface JobWork {
  run: () => Promise<void>;
  /** It was cancelled. @returns false where it had been published before. */
  undo: () => Promise<boolean>;
  /** It failed, and nobody will go on with it. */
  giveUp: () => Promise<void>;
}

/** Each waits for something of its own, and several may at a time. */
export type Waiter = 'store' | keyof CollectionWriters;

export interface Telling {
  tell: (change: Partial<IndexReport>) => Promise<void>;
  /** What is no failure of the job where it cannot be told. */
  tellSoon: (change: Partial<IndexReport>) => void;
  onProgress: ProgressListener;
  /** Told what has to come back before a part of the job goes on, and null once it has. */
  onWaiting: (waiter: Waiter, what: string | null) => void;
  /** The job may have been published already. */
  isPublishing: () => boolean;
}

/** Works on one index job: an index run of its source, or a move of its collection; tells how far it is. */
export const indexJobHandler =
  (parts: IndexJobParts) =>
  async (task: IndexTask): Promise<void> => {
    const { signal, payload } = task;
    const telling = tellingOf(parts.log, task);
    // What undoes the work does not wait for a store that is away.
    const store = waitingStore(parts, task, telling);
    const { source } = payload;
    const work =
      source.type === 'collection'
        ? moveWork(parts, task, { ...telling, store })
        : runWork(parts, { ...task, source }, { ...telling, store });
    try {
      signal.throwIfAborted();
      await telling.tell({});
      await work.run();
      await telling.tell({ state: 'completed' });
    } catch (error) {
      // Another attempt, here or elsewhere, goes on with it.
      if (signal.reason === 'stopping' || signal.reason === 'lost') throw error;
      if (signal.reason !== 'cancelled') {
        await work.giveUp().catch((why: unknown) => {
          parts.log.warn({ err: why, jobId: task.jobId }, 'the failed job could not be given up');
        });
        throw error;
      }
      const isUndone = await undone(work, { log: parts.log, task, telling });
      await telling.tell({ state: isUndone ? 'cancelled' : 'completed' });
    }
  };

/**
 * Where the store is away, a job ends as it was asked to: what it wrote is taken back by the sweep, as of any job that has ended. Not one
 * that was about to publish: the write that did so may have arrived without an answer.
 */
async function undone(
  work: JobWork,
  { log, task: { jobId }, telling }: { log: Logger; task: IndexTask; telling: Telling },
): Promise<boolean> {
  try {
    return await work.undo();
  } catch (why) {
    if (telling.isPublishing() || !STORE_AWAY.has(toAppError(why).code)) throw why;
    log.warn({ err: why, jobId }, 'what the cancelled job wrote is left to the sweep');
    return true;
  }
}

/** Between two tries to tell a queue that cannot keep it now. */
const TELL_AGAIN_MS = 500;
/** That a job was cancelled; the process may be about to stop. */
const LAST_WORD_TRIES = 10;

function tellingOf(log: Logger, { jobId, signal, report, lendPlace }: IndexTask): Telling {
  let last: IndexReport = {
    state: 'running',
    progress: emptyProgress(),
    skippedFiles: [],
    commit: null,
    waitingFor: null,
  };
  const tell = async (change: Partial<IndexReport>): Promise<void> => {
    last = { ...last, ...change };
    for (let tries = 1; ; tries++) {
      try {
        return await report(last);
      } catch (error) {
        // A queue whose disk is full keeps nothing now, and has forgotten nothing: the work may go on as soon as it does.
        const isOver = signal.aborted && (signal.reason !== 'cancelled' || tries >= LAST_WORD_TRIES);
        if (!toAppError(error).kind.retryable || isOver) throw error;
        await delay(TELL_AGAIN_MS);
      }
    }
  };
  const tellSoon = (change: Partial<IndexReport>): void => {
    last = { ...last, ...change };
    report(last).catch((error: unknown) => log.warn({ err: error, jobId }, 'progress could not be told'));
  };
  const onProgress: ProgressListener = (progress, skipped, state) =>
    tellSoon({ progress, skippedFiles: [...skipped], state });
  const waits = new Map<Waiter, string>();
  const onWaiting = (waiter: Waiter, what: string | null): void => {
    if (what === null) waits.delete(waiter);
    else waits.set(waiter, what);
    // All jobs need the store; a worker of one tier or model, not all.
    lendPlace(waits.size > 0 && !waits.has('store'));
    const waitingFor = [...new Set(waits.values())].join(', ') || null;
    // Several batches of a job wait for the same worker.
    if (waitingFor !== last.waitingFor) tellSoon({ waitingFor });
  };
  return { tell, tellSoon, onProgress, onWaiting, isPublishing: () => last.state === 'publishing' };
}

/** The store of a job's work: while it is away the job waits, and says so. */
const waitingStore = (
  { store, log }: IndexJobParts,
  { jobId, signal, payload: { source } }: IndexTask,
  { onWaiting }: Telling,
): VectorStore =>
  patientStore(store, {
    signal,
    // What fills the disk may be the copy that a move makes: it gives the space back.
    waitsForSpace: source.type !== 'collection',
    onWaiting: (failure) => {
      if (failure) log.warn({ err: failure, jobId }, 'the job waits for the vector store');
      else log.info({ jobId }, 'the vector store answers again');
      onWaiting('store', failure && `the vector store: ${failure.message}`);
    },
  });

function moveWork(
  parts: IndexJobParts,
  { jobId, payload, signal }: IndexTask,
  { store, onProgress, onWaiting }: Telling & { store: VectorStore },
): JobWork {
  const { collection, tiers, spaces: ids = [] } = payload;
  const drop = (): Promise<'dropped' | 'replaced'> => parts.store.dropSuccessor(collection, jobId);
  return {
    run: async () => {
      const embeddings = embeddingsOf(parts.spaces.withIds(ids), { tiers, onWaiting });
      await moveCollection({ store, ...embeddings }, { moveId: jobId, collection, signal, onProgress });
    },
    undo: async () => (await drop()) === 'dropped',
    giveUp: async () => void (await drop()),
  };
}
