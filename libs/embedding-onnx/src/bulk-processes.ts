import {
  hasEndedChild,
  type Embedded,
  type EmbeddingBackend,
  type EmbedOptions,
} from '@embergate/embedding/backend.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { withTimeout } from '@embergate/platform/with-timeout.ts';
import { DEFAULT_HANG_MS, type OnnxBackend } from './onnx-backend.ts';

export interface BulkProcessesOptions {
  /** Computes queries, and bulk work in turn with them as long as nothing else does. */
  queries: OnnxBackend;
  /** Starts one more process of the same model, which lets others go first. */
  start: () => OnnxBackend;
  /** How many there are while there is bulk work. */
  processes: number;
  /** They are worth it for more than `worthMs` of bulk work within `windowMs`, both in milliseconds; after such a time with less they are ended. */
  worthMs?: number;
  windowMs?: number;
  log: Logger;
}

const WORTH_MS = 1_000;
const WINDOW_MS = 60_000;
/** Queries go first, and may leave them little for long. */
const HANG_FACTOR = 6;
/** One that has not come back until then may have no memory to do so. */
const COME_BACK_MS = 15_000;
/** More ends in a row are not of a text: a batch of 64 texts comes down to the one that does it in seven halves, on all processes. */
const MAX_ENDS = 8;

/**
 * A model whose bulk work has processes of its own, beside the one of the queries, and what processor time queries leave.
 *
 * Threads of one process wait for each other after each operator of the model: as many processes of a single thread compute more in the
 * same time, and the more so where other processes take some of the processor (docs/benchmarks.md, "Indexing"). And a query waits
 * for no batch of bulk work.
 *
 *   none --a second of bulk work--> starting --loaded--> there --a minute with less--> none
 *                                      \--cannot be started, or does not come back--> fewer, until there has been such a minute
 */
export class BulkProcesses implements EmbeddingBackend {
  readonly #options: BulkProcessesOptions;
  readonly #queries: OnnxBackend;
  /** Those that have been ready, with how often each has ended since it last made a vector. */
  readonly #all = new Map<OnnxBackend, number>();
  readonly #busy = new Set<OnnxBackend>();
  #starting: OnnxBackend | undefined;
  #window: NodeJS.Timeout | undefined;
  /** Of bulk work, since a time that is at most a window ago. */
  #spent = { ms: 0, since: 0 };
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
    return this.#all.size;
  }

  get isolatesBulk(): boolean {
    return this.#all.size > 0;
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
    const process = await this.#take();
    const embedded = process
      ? await this.#embedApart(process, batch, options)
      : await this.#queries.embed(batch, options);
    this.#spend(embedded.ms);
    return embedded;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([this.#starting?.close(), this.#end(), this.#queries.close()]);
  }

  /** One that has nothing to do, and is there or comes back soon. */
  async #take(): Promise<OnnxBackend | undefined> {
    const free = [...this.#all.keys()].filter((process) => !this.#busy.has(process));
    const process = free.find(({ isReady }) => isReady) ?? free[0];
    if (!process) return undefined;
    this.#busy.add(process);
    if (process.isReady) return process;
    try {
      await withTimeout(process.whenReady(), COME_BACK_MS, () => new Error('it does not come back'));
      return process;
    } catch {
      await this.#giveUp(process);
      return undefined;
    }
  }

  async #embedApart(
    process: OnnxBackend,
    batch: readonly Uint32Array[],
    { hangMs = DEFAULT_HANG_MS, ...options }: EmbedOptions,
  ): Promise<Embedded> {
    try {
      const embedded = await process.embed(batch, { ...options, hangMs: HANG_FACTOR * hangMs });
      if (this.#all.has(process)) this.#all.set(process, 0);
      return embedded;
    } catch (error) {
      if (hasEndedChild(error)) await this.#countEnd(process);
      throw error;
    } finally {
      this.#busy.delete(process);
    }
  }

  async #countEnd(process: OnnxBackend): Promise<void> {
    const ends = this.#all.get(process);
    if (ends === undefined) return;
    this.#all.set(process, ends + 1);
    if (ends + 1 > MAX_ENDS) await this.#giveUp(process);
  }

  async #giveUp(process: OnnxBackend): Promise<void> {
    this.#busy.delete(process);
    if (!this.#all.delete(process)) return;
    this.#options.log.warn(
      { left: this.#all.size },
      'a process for bulk work does not come back, and is given up',
    );
    await process.close();
  }

  #spend(ms: number): void {
    const { windowMs = WINDOW_MS } = this.#options;
    const now = performance.now();
    if (!this.#window && now - this.#spent.since > windowMs) this.#spent = { ms: 0, since: now };
    this.#spent.ms += ms;
    if (this.#isWorthIt && !this.#window && !this.#isClosed) void this.#start();
  }

  get #isWorthIt(): boolean {
    return this.#spent.ms > (this.#options.worthMs ?? WORTH_MS);
  }

  /** One after the other: what they take to start, queries and the first batches lack. Never throws. */
  async #start(): Promise<void> {
    const { start, processes, windowMs = WINDOW_MS, log } = this.#options;
    this.#window = setInterval(() => void this.#endWhereNotWorthIt(), windowMs).unref();
    try {
      while (this.#all.size < processes && !this.#isClosed) {
        this.#starting = start();
        await this.#starting.whenReady();
        this.#all.set(this.#starting, 0);
      }
      log.info({ processes: this.#all.size }, 'bulk work has processes of its own now');
    } catch (error) {
      await this.#starting?.close();
      if (!this.#isClosed)
        log.warn({ err: error, processes: this.#all.size }, 'a process for bulk work does not start');
    }
    this.#starting = undefined;
  }

  async #endWhereNotWorthIt(): Promise<void> {
    const isKept = this.#isWorthIt || this.#busy.size > 0 || this.#starting !== undefined;
    this.#spent = { ms: 0, since: performance.now() };
    if (isKept) return;
    this.#options.log.info({ processes: this.#all.size }, 'little bulk work: its processes end');
    await this.#end();
  }

  async #end(): Promise<void> {
    clearInterval(this.#window);
    this.#window = undefined;
    const all = [...this.#all.keys()];
    this.#all.clear();
    await Promise.all(all.map((process) => process.close()));
  }
}
