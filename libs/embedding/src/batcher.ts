import { AppError } from '@embergate/contracts/errors.ts';
import type { Lane } from '@embergate/contracts/tiers.ts';
import type { EmbeddingBackend } from './backend.ts';
import { paddedTokens, predictMs, type Fit } from './fit.ts';

export interface BatcherOptions {
  backend: EmbeddingBackend;
  fit: Fit;
  /** What a query waits for at most behind bulk work, in milliseconds. */
  bulkBatchMs?: number;
  /** Upper bound of one query batch, in padded tokens. */
  queryBatchTokens?: number;
  /** Called after every batch, with its padded tokens. */
  onBatch?: (batch: { lane: Lane; texts: number; paddedTokens: number; ms: number }) => void;
}

export interface BatchedVectors {
  /** inputs.length x dimensions, in the order of the inputs. */
  vectors: Float32Array;
  /** From submission to the start of the first batch that held one of its texts. */
  queueMs: number;
  /** Sum over the batches that held its texts. */
  inferenceMs: number;
}

interface Request {
  inputs: readonly Uint32Array[];
  submittedAt: number;
  startedAt: number | undefined;
  inferenceMs: number;
  missing: number;
  vectors: Float32Array;
  resolve: (result: BatchedVectors) => void;
  reject: (error: unknown) => void;
}

interface Item {
  ids: Uint32Array;
  request: Request;
  index: number;
}

const DEFAULT_BULK_BATCH_MS = 250;
const DEFAULT_QUERY_BATCH_TOKENS = 4_096;
/** Four long chunks: what a larger batch works on falls out of the processor's caches (docs/benchmarks.md, "Indexing"). */
const BULK_BATCH_TOKENS = 1_024;
/** Bulk work gets this share of the model's time at least, so that a flood of queries never starves it. */
const BULK_FLOOR = 0.05;

/**
 * Packs texts of many requests into batches, by padded tokens and not by count.
 *
 *   idle --submit--> running --batch done, more waiting--> running --nothing waiting--> idle --close--> closed
 *
 * Queries go first. Bulk batches are bounded in time, as a query that arrives in the middle of one waits for its end.
 */
export class Batcher {
  readonly #backend: EmbeddingBackend;
  readonly #fit: Fit;
  readonly #bulkBudget: number;
  readonly #queryBudget: number;
  readonly #onBatch: NonNullable<BatcherOptions['onBatch']>;
  #query: Item[] = [];
  /** Sorted by length, so that a batch holds texts of like lengths and pads little. */
  #bulk: Item[] = [];
  #queryMsSinceBulk = 0;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor({
    backend,
    fit,
    bulkBatchMs = DEFAULT_BULK_BATCH_MS,
    queryBatchTokens,
    onBatch,
  }: BatcherOptions) {
    this.#backend = backend;
    this.#fit = fit;
    const tokensInTime = fit.b > 0 ? Math.floor((bulkBatchMs - fit.a) / fit.b) : BULK_BATCH_TOKENS;
    this.#bulkBudget = Math.max(1, Math.min(tokensInTime, BULK_BATCH_TOKENS));
    this.#queryBudget = queryBatchTokens ?? DEFAULT_QUERY_BATCH_TOKENS;
    this.#onBatch = onBatch ?? (() => undefined);
  }

  /** Texts that wait for a batch, and their tokens, a lane. */
  backlog(lane: Lane): { texts: number; tokens: number } {
    const items = lane === 'query' ? this.#query : this.#bulk;
    return { texts: items.length, tokens: items.reduce((sum, item) => sum + item.ids.length, 0) };
  }

  /** @throws what the backend throws; AppError `shutting_down` after close(). */
  submit(inputs: readonly Uint32Array[], lane: Lane): Promise<BatchedVectors> {
    if (this.#closed) return Promise.reject(new AppError('shutting_down', 'This worker is stopping.'));
    return new Promise((resolve, reject) => {
      const request: Request = {
        inputs,
        submittedAt: performance.now(),
        startedAt: undefined,
        inferenceMs: 0,
        missing: inputs.length,
        vectors: new Float32Array(inputs.length * this.#backend.dimensions),
        resolve,
        reject,
      };
      const items = inputs.map((ids, index) => ({ ids, request, index }));
      if (lane === 'query') this.#query.push(...items);
      else this.#bulk = [...this.#bulk, ...items].sort((a, b) => a.ids.length - b.ids.length);
      this.#running ??= this.#run();
    });
  }

  /** Finishes the queries, gives bulk work that has not begun back to its senders, and takes nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#dropRequests(
      new Set(this.#bulk.map((item) => item.request)),
      new AppError('shutting_down', 'This worker is stopping; another one takes the job.'),
    );
    await this.#running;
  }

  async #run(): Promise<void> {
    // Requests that arrive in the same turn of the loop belong in the first batch.
    await new Promise(setImmediate);
    while (this.#query.length + this.#bulk.length > 0) {
      const lane = this.#nextLane();
      const batch = lane === 'query' ? this.#takeQueries() : this.#takeBulk();
      await this.#runBatch(batch, lane);
    }
    this.#running = undefined;
  }

  #nextLane(): Lane {
    if (this.#bulk.length === 0) return 'query';
    if (this.#query.length === 0) return 'bulk';
    const bulkMs = predictMs(this.#fit, this.#bulkBudget);
    return this.#queryMsSinceBulk * BULK_FLOOR >= bulkMs * (1 - BULK_FLOOR) ? 'bulk' : 'query';
  }

  /** In order of arrival. */
  #takeQueries(): Item[] {
    return this.#query.splice(0, countThatFits(this.#query, this.#queryBudget));
  }

  /** Longest first: what is left at the end is short, and pads little. */
  #takeBulk(): Item[] {
    const longestFirst = this.#bulk.toReversed();
    const count = countThatFits(longestFirst, this.#bulkBudget);
    return this.#bulk.splice(this.#bulk.length - count, count);
  }

  async #runBatch(batch: Item[], lane: Lane): Promise<void> {
    const startedAt = performance.now();
    const requests = new Set(batch.map((item) => item.request));
    for (const request of requests) request.startedAt ??= startedAt;
    try {
      const vectors = await this.#backend.embed(batch.map((item) => item.ids));
      const ms = performance.now() - startedAt;
      for (const request of requests) request.inferenceMs += ms;
      if (lane === 'bulk') this.#queryMsSinceBulk = 0;
      else if (this.#bulk.length > 0) this.#queryMsSinceBulk += ms;
      this.#onBatch({
        lane,
        texts: batch.length,
        paddedTokens: paddedTokens(batch.map(({ ids }) => ids)),
        ms,
      });
      this.#deliver(batch, vectors);
    } catch (error) {
      this.#dropRequests(requests, error);
    }
  }

  #dropRequests(requests: ReadonlySet<Request>, error: unknown): void {
    for (const request of requests) request.reject(error);
    const isOther = (item: Item): boolean => !requests.has(item.request);
    this.#query = this.#query.filter(isOther);
    this.#bulk = this.#bulk.filter(isOther);
  }

  #deliver(batch: Item[], vectors: Float32Array): void {
    const { dimensions } = this.#backend;
    batch.forEach(({ request, index }, row) => {
      request.vectors.set(vectors.subarray(row * dimensions, (row + 1) * dimensions), index * dimensions);
      request.missing -= 1;
      if (request.missing > 0) return;
      const { submittedAt, startedAt = submittedAt, inferenceMs } = request;
      request.resolve({ vectors: request.vectors, queueMs: startedAt - submittedAt, inferenceMs });
    });
  }
}

/** How many items from the front fit the budget of padded tokens; one at least. */
function countThatFits(items: readonly Item[], budget: number): number {
  let longest = 0;
  let count = 0;
  for (const { ids } of items) {
    longest = Math.max(longest, ids.length);
    if (count > 0 && longest * (count + 1) > budget) break;
    count += 1;
  }
  return count;
}
