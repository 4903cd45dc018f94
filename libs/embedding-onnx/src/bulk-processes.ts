import type { Embedded, EmbeddingBackend, EmbedOptions } from '@embergate/embedding/backend.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { DEFAULT_HANG_MS, type OnnxBackend } from './onnx-backend.ts';

export interface BulkProcessesOptions {
  /** Computes queries, and bulk work as long as nothing else does. */
  queries: OnnxBackend;
  /** Starts one more process of the same model, which lets others go first. */
  start: () => OnnxBackend;
  /** How many there are while there is bulk work. */
  processes: number;
  /** Bulk work of so many milliseconds starts them; less is not worth it. */
  worthMs?: number;
  /** Without bulk work for so long they are ended, and their memory is free again. */
  idleMs?: number;
  log: Logger;
}

const WORTH_MS = 1_000;
const IDLE_MS = 60_000;
/** Queries go first, and may leave them next to nothing for long. */
const HANG_FACTOR = 20;

/**
 * A model whose bulk work has processes of its own, beside the one of the queries, and what processor time queries leave.
 *
 * Threads of one process wait for each other after each operator of the model: as many processes of a single thread compute more in the
 * same time, and the more so where other processes take some of the processor (docs/benchmarks.md, "Indexing"). And a query waits
 * for no batch of bulk work.
 *
 *   none --a second of bulk work--> starting --loaded--> there --a minute without any--> none
 *                                      \--cannot be started--> fewer, or none, until there has been none for a minute
 */
export class BulkProcesses implements EmbeddingBackend {
  readonly #options: BulkProcessesOptions;
  readonly #queries: OnnxBackend;
  readonly #all = new Set<OnnxBackend>();
  readonly #busy = new Set<OnnxBackend>();
  /** Of bulk work that the process of the queries has done since there was none for long. */
  #spentMs = 0;
  #lastBulkAt = 0;
  #started: Promise<void> | undefined;
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: BulkProcessesOptions) {
    this.#options = options;
    this.#queries = options.queries;
  }

  get device(): string {
    return this.#queries.device;
  }

  get dimensions(): number {
    return this.#queries.dimensions;
  }

  get isReady(): boolean {
    return this.#queries.isReady;
  }

  get bulkBeside(): number {
    return this.#options.processes;
  }

  get pads(): boolean {
    return this.#queries.pads;
  }

  computedTokens(batch: readonly Uint32Array[]): number {
    return this.#queries.computedTokens(batch);
  }

  whenReady(): Promise<void> {
    return this.#queries.whenReady();
  }

  async embed(batch: readonly Uint32Array[], options: EmbedOptions = {}): Promise<Embedded> {
    if (options.lane !== 'bulk') return this.#queries.embed(batch, options);
    const free = [...this.#all].find((process) => process.isReady && !this.#busy.has(process));
    if (!free) return this.#embedBesideQueries(batch, options);
    this.#busy.add(free);
    try {
      const { hangMs = DEFAULT_HANG_MS } = options;
      return await free.embed(batch, { ...options, hangMs: HANG_FACTOR * hangMs });
    } finally {
      this.#busy.delete(free);
      this.#idle?.refresh();
    }
  }

  async #embedBesideQueries(batch: readonly Uint32Array[], options: EmbedOptions): Promise<Embedded> {
    const { idleMs = IDLE_MS, worthMs = WORTH_MS } = this.#options;
    if (performance.now() - this.#lastBulkAt > idleMs) this.#spentMs = 0;
    if (this.#spentMs >= worthMs) this.#started ??= this.#start();
    const embedded = await this.#queries.embed(batch, options);
    this.#spentMs += embedded.ms;
    this.#lastBulkAt = performance.now();
    return embedded;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([this.#endBulk(), this.#queries.close()]);
  }

  async #start(): Promise<void> {
    await this.#startAll();
    if (this.#isClosed) return;
    this.#idle = setInterval(() => void this.#endWhereIdle(), this.#options.idleMs ?? IDLE_MS).unref();
  }

  /** One after the other: what they take to start, queries and the first batches lack. */
  async #startAll(): Promise<void> {
    const { start, processes, log } = this.#options;
    while (this.#all.size < processes && !this.#isClosed) {
      const process = start();
      this.#all.add(process);
      try {
        await process.whenReady();
      } catch (error) {
        if (this.#isClosed) return;
        this.#all.delete(process);
        await process.close();
        return log.warn({ err: error }, 'a process for bulk work does not start; the others do the work');
      }
    }
  }

  async #endWhereIdle(): Promise<void> {
    if (this.#busy.size > 0) return;
    await this.#endBulk();
    this.#spentMs = 0;
    this.#started = undefined;
  }

  async #endBulk(): Promise<void> {
    clearInterval(this.#idle);
    this.#idle = undefined;
    const all = [...this.#all];
    this.#all.clear();
    await Promise.all(all.map((process) => process.close()));
  }
}
