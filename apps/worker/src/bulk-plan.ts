import { availableParallelism, totalmem } from 'node:os';

export interface Machine {
  cores: number;
  /** What this process and its children may take together. */
  memoryBytes: number;
}

/** More of them would take memory and fill the caches of each other. */
const MAX_PROCESSES = 8;
/** Beside the model itself: the runtime, and what a batch works on. */
const PROCESS_BYTES = 150 * 2 ** 20;
/** What attention holds of a text, for each pair of its tokens: 1.2 GB for 8,192 of them (measured on a model of 137M parameters). */
const ATTENTION_BYTES = 18;
/** Of the memory there is; the rest is for queries, for other processes, and for what else runs on the machine. */
const MEMORY_SHARE = 1 / 4;

/**
 * How many processes a model on the CPU has for bulk work, and threads each: one of a single thread a core, where their copies of the model
 * fit into the memory.
 *
 * @param asked BULK_PROCESSES; undefined: as many as are worth it.
 * @param model its files, and the longest text that it reads, in tokens.
 * @returns `processes` 0 where bulk work shares the process of the queries.
 */
export function planBulkProcesses(
  asked: number | undefined,
  { bytes, maxTokens }: { bytes: number; maxTokens: number },
  { cores, memoryBytes }: Machine = thisMachine(),
): { processes: number; threads: number } {
  const needed = bytes + PROCESS_BYTES + ATTENTION_BYTES * maxTokens ** 2;
  const fitting = Math.floor((MEMORY_SHARE * memoryBytes) / needed);
  const worthIt = Math.min(cores, MAX_PROCESSES, fitting);
  // A single one would do less than all threads of the process that is there.
  const processes = asked ?? (worthIt > 1 ? worthIt : 0);
  return { processes, threads: Math.max(1, Math.floor(cores / Math.max(1, processes))) };
}

function thisMachine(): Machine {
  // A container's limit; 0, or more than there is, where it has none.
  const limit = process.constrainedMemory();
  const memoryBytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return { cores: availableParallelism(), memoryBytes };
}
