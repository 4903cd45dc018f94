import { AppError } from '@embergate/contracts/errors.ts';
import type { Lane } from '@embergate/contracts/tiers.ts';
import { predictMs, type LiveFit } from '@embergate/routing/fit.ts';
import { QUERY_BATCH_MS } from '@embergate/routing/tier-view.ts';
import { hasEndedChild, isModelFailure, wentAway, type EmbeddingBackend } from './backend.ts';
import { madeUp } from './made-up-text.ts';
import { EmbedRequest, type BatchedVectors, type Item, type SubmitOptions } from './embed-request.ts';
import { RefusedTexts } from './refused-texts.ts';
import { WaitingTexts, type Batch } from './waiting-texts.ts';

export interface StartedBatch {
  lane: Lane;
  texts: number;
  /** Tokens of queries in it; 0 in the bulk lane. */
  queryTokens: number;
  paddedTokens: number;
  predictedMs: number;
}

export interface BatcherOptions {
  backend: EmbeddingBackend;
  /** Bounds the batches, and learns from each that succeeds. */
  fit: LiveFit;
  /** What a query waits for at most behind bulk work, in milliseconds. */
  bulkBatchMs?: number;
  /** The same in padded tokens; default: what stays in a processor's caches. */
  bulkBatchTokens?: number;
  /** What one batch of queries takes at most, in milliseconds. */
  queryBatchMs?: number;
  onBatchStart?: (batch: StartedBatch) => void;
  /** Called after every batch that succeeded. */
  onBatch?: (batch: { lane: Lane; texts: number; paddedTokens: number; ms: number }) => void;
  /**
   * Called when the last batch that a query would wait for has ended and none follows at once, because nothing waits or the
   * model is away.
   */
  onIdle?: () => void;
}

type ModelText = Pick<Item, 'ids' | 'text'>;
type Outcome = { vectors: Float32Array; ms: number } | { error: unknown; ms: number };

const BULK_BATCH_MS = 250;
/** Four long chunks: what a larger batch works on falls out of the processor's caches (docs/benchmarks.md, "Indexing"). */
const BULK_BATCH_TOKENS = 1_024;
/** Alone with the model's process that often, and it ended each time: then it was the text. */
const KILLS_UNTIL_REFUSED = 2;
/** While the model is away, late requests leave that often. */
const LOOK_FOR_LATE_MS = 250;
const hangMs = (predictedMs: number): number => 5_000 + 10 * predictedMs;
const overdueAfterMs = (predictedMs: number): number => 500 + 3 * predictedMs;
/** What is known of an idle worker's speed is as old as its last batch. */
const PROBE = madeUp(16);

/**
 * Packs texts of many requests into batches, by padded tokens and not by count.
 *
 *   idle --submit--> running --batch done, more waiting--> running --nothing waiting--> idle --close--> closed
 *                       |--model away--> waiting for it --model there--> running
 *
 * Where the model has room for bulk batches beside queries, so many run beside them, and queries wait for none.
 *
 * Before a batch is made, requests that are late are dropped. A batch that failed is tried again in
 * halves, down to single texts: one on which the model fails fails its request, one that ends the model's process twice is
 * refused from then on, and all others get their vectors. Where the model went away for reasons of its own, queries go back to
 * their senders at once, and bulk work waits for it.
 */
export class Batcher {
  readonly #options: BatcherOptions;
  readonly #backend: EmbeddingBackend;
  readonly #fit: LiveFit;
  readonly #waiting: WaitingTexts;
  readonly #refused = new RefusedTexts();
  /** Those without an answer. */
  readonly #requests = new Set<EmbedRequest>();
  #computing: { startedAt: number; predictedMs: number } | undefined;
  #running: Promise<void> | undefined;
  /** The bulk batches that run beside the queries. */
  readonly #beside = new Set<Promise<void>>();
  /** Batches that the model computes. */
  readonly #runs = new Set<{ isAlone: boolean }>();
  /** Something has been submitted. */
  #arrival = Promise.withResolvers<void>();
  #closed = false;
  readonly #closing = Promise.withResolvers<void>();

  constructor(options: BatcherOptions) {
    const { backend, fit, bulkBatchMs = BULK_BATCH_MS, queryBatchMs = QUERY_BATCH_MS } = options;
    const { bulkBatchTokens = BULK_BATCH_TOKENS } = options;
    this.#options = options;
    this.#backend = backend;
    this.#fit = fit;
    const costAlone = backend.pads ? undefined : (ids: Uint32Array): number => backend.computedTokens([ids]);
    this.#waiting = new WaitingTexts({
      bulkMs: bulkBatchMs,
      bulkTokens: bulkBatchTokens,
      queryMs: queryBatchMs,
      costAlone,
    });
  }

  /** A query would wait for nothing. */
  get isIdle(): boolean {
    if (this.#backend.bulkBeside === 0) return this.#running === undefined;
    return this.#computing === undefined && !this.#waiting.has('query');
  }

  /** How long the batch that runs has been running beyond three times its prediction and half a second, in milliseconds. */
  get overdueMs(): number {
    if (!this.#computing) return 0;
    const { startedAt, predictedMs } = this.#computing;
    return Math.max(0, performance.now() - startedAt - overdueAfterMs(predictedMs));
  }

  /**
   * @throws AppError `deadline_exceeded` where it came too late; `text_refused` where a text is known to
   * end the model's process; `embedding_failed` where the model cannot compute one; `shutting_down` after close().
   */
  submit(inputs: readonly Uint32Array[], options: SubmitOptions): Promise<BatchedVectors> {
    if (this.#closed) return Promise.reject(stopping());
    const refusal = this.#refused.find(inputs);
    if (refusal) return Promise.reject(refusal);
    const away = options.lane === 'query' ? this.#backend.whyAway : undefined;
    if (away) return Promise.reject(away);
    const request = new EmbedRequest(inputs, this.#backend.dimensions, options);
    this.#requests.add(request);
    this.#waiting.add(request);
    this.#arrival.resolve();
    this.#running ??= this.#run();
    return request.answer;
  }

  /**
   * Where a query would wait for nothing, measures one small batch, beside bulk work too: a worker that was measured slow gets no traffic, and would otherwise
   * never find out that it is fast again. Never throws.
   */
  async probe(): Promise<void> {
    if (!this.isIdle || this.#closed || !this.#backend.isReady) return;
    // One that fails says nothing about the speed; the backend sees to its process by itself.
    const measured = this.#compute([PROBE], 'query');
    this.#running ??= measured.then(() => this.#run());
    await measured;
  }

  /**
   * Finishes the queries, gives bulk work that has not begun, or runs beside queries, back to its senders, and takes nothing
   * more. Where the model is away, queries go back too.
   */
  async close(): Promise<void> {
    this.#closed = true;
    const bulk = [...this.#requests].filter(({ lane }) => lane === 'bulk');
    // A long text that is computed in parts is not waited for.
    this.#drop(this.#beside.size > 0 ? new Set(bulk) : this.#waiting.requests('bulk'), stopping());
    this.#closing.resolve();
    await this.#running;
  }

  async #run(): Promise<void> {
    // Requests that arrive in the same turn of the loop belong in the first batch.
    await new Promise(setImmediate);
    while (!this.#waiting.isEmpty || (this.#beside.size > 0 && !this.#closed)) {
      if (!this.#backend.isReady) await this.#waitForModel();
      this.#dropLate();
      await this.#runNext();
    }
    this.#running = undefined;
    this.#options.onIdle?.();
  }

  async #runNext(): Promise<void> {
    const beside = [...this.#beside];
    if (!this.#backend.isReady)
      return void (await Promise.race([Promise.all(beside), this.#closing.promise]));
    this.#arrival = Promise.withResolvers();
    const batch = this.#waiting.take(this.#fit.current, this.#nextLane());
    if (!batch) {
      if (beside.length > 0) this.#options.onIdle?.();
      return void (await Promise.race([...beside, this.#arrival.promise, this.#closing.promise]));
    }
    // A text with which the model's process has ended is alone with it the next time: then it is known whether it was the text.
    const isSuspect = batch.items.some((item) => item.isSuspect);
    const { bulkBeside, isolatesBulk } = this.#backend;
    const needsAll = isSuspect && !isolatesBulk;
    if (needsAll) await Promise.all(beside);
    const isBeside = batch.lane === 'bulk' && bulkBeside > 0 && !needsAll;
    const running = this.#runBatch(batch, isBeside);
    if (!isBeside) return running;
    const ended = running.finally(() => this.#beside.delete(ended));
    this.#beside.add(ended);
  }

  /**
   * Where bulk batches run beside queries, the model shares its time out among the lanes itself, and has as many of them as it takes. Only
   * parts of one that failed may need it for themselves, and queries would wait for these.
   */
  #nextLane(): Lane | undefined {
    const { bulkBeside, isolatesBulk } = this.#backend;
    if (bulkBeside === 0) return undefined;
    if (this.#beside.size >= bulkBeside || !this.#waiting.has('bulk')) return 'query';
    return this.#waiting.hasFailed('bulk') && !isolatesBulk ? undefined : 'bulk';
  }

  /** Until the model is there, or nobody shall wait for it: then its requests are dropped. */
  async #waitForModel(): Promise<void> {
    this.#options.onIdle?.();
    const away = this.#backend.whyAway;
    if (away) this.#drop(this.#waiting.requests('query'), away);
    const timer = setInterval(() => this.#dropLate(), LOOK_FOR_LATE_MS);
    try {
      await Promise.race([this.#backend.whenReady(), this.#closing.promise]);
      if (!this.#backend.isReady && this.#closed) this.#drop(new Set(this.#requests), stopping());
    } catch (error) {
      this.#drop(new Set(this.#requests), error);
    } finally {
      clearInterval(timer);
    }
  }

  /** @param isBeside it may have queries beside it: nobody has to wait for its end. */
  async #runBatch(batch: Batch, isBeside: boolean): Promise<void> {
    const { lane, items } = batch;
    const requests = new Set(items.map(({ request }) => request));
    for (const request of requests) request.begin();
    const texts = items.map(({ ids }) => ids);
    const cost = this.#backend.computedTokens(texts);
    if (!isBeside)
      this.#options.onBatchStart?.({
        lane,
        texts: texts.length,
        queryTokens: lane === 'query' ? this.#promisedTokens(texts) : 0,
        paddedTokens: cost,
        predictedMs: predictMs(this.#fit.current, cost),
      });
    const run = { isAlone: true };
    this.#runs.add(run);
    const sharing = this.#backend.isolatesBulk ? [] : [...this.#runs];
    if (sharing.length > 1) for (const each of sharing) each.isAlone = false;
    const outcome = await this.#compute(items, lane, isBeside);
    this.#runs.delete(run);
    this.#waiting.spend(lane, outcome.ms);
    if ('error' in outcome) return this.#takeApart(batch, outcome.error, run);
    for (const request of requests) request.spend(outcome.ms);
    this.#deliver(items, outcome.vectors);
    this.#options.onBatch?.({ lane, texts: texts.length, paddedTokens: cost, ms: outcome.ms });
  }

  /** As their callers were promised: what each costs alone. */
  #promisedTokens(texts: readonly Uint32Array[]): number {
    return texts.reduce((sum, ids) => sum + this.#backend.computedTokens([ids]), 0);
  }

  async #compute(batch: readonly ModelText[], lane: Lane, isBeside = false): Promise<Outcome> {
    const inputs = batch.map(({ ids }) => ids);
    const texts = textsOf(batch);
    const cost = this.#backend.computedTokens(inputs);
    const predictedMs = predictMs(this.#fit.current, cost);
    const takesTurns = this.#backend.bulkBeside === 0;
    const startedAt = performance.now();
    if (!isBeside) this.#computing = { startedAt, predictedMs };
    try {
      const embedded = await this.#backend.embed(inputs, { hangMs: hangMs(predictedMs), lane, texts });
      // Where others had their turn meanwhile, only the model knows what this one took. Bulk work is computed in another way there, in parts or
      // with less of the processor, and says nothing about queries.
      const ms = takesTurns ? performance.now() - startedAt : embedded.ms;
      if (lane === 'query' || takesTurns) this.#fit.observe({ paddedTokens: cost, ms });
      return { vectors: embedded.vectors, ms };
    } catch (error) {
      return { error, ms: performance.now() - startedAt };
    } finally {
      if (!isBeside) this.#computing = undefined;
    }
  }

  /** What of a batch that failed is tried again, and what has failed with it. */
  #takeApart({ lane, items }: Batch, error: unknown, { isAlone }: { isAlone: boolean }): void {
    const requests = new Set(items.map(({ request }) => request));
    if (!isModelFailure(error)) return this.#drop(requests, error);
    if (this.#closed && lane === 'bulk') return this.#drop(requests, stopping());
    const wanted = items.filter(({ request }) => this.#requests.has(request));
    if (wentAway(error)) {
      return lane === 'query' ? this.#drop(requests, error) : this.#waiting.giveBack(lane, [wanted]);
    }
    const [alone, ...others] = items;
    if (alone === undefined || others.length > 0) return this.#waiting.giveBack(lane, halves(wanted));
    if (!hasEndedChild(error)) return this.#drop(requests, error);
    alone.isSuspect = true;
    if (isAlone) alone.kills += 1;
    if (alone.kills < KILLS_UNTIL_REFUSED) return this.#waiting.giveBack(lane, [wanted]);
    this.#refused.add(alone.ids);
    this.#dropRefused();
  }

  /** The request of a text that was refused just now, and all others that wait with the same text. */
  #dropRefused(): void {
    for (const request of this.#requests) {
      const refusal = this.#refused.find(request.items.map(({ ids }) => ids));
      if (refusal) this.#drop(new Set([request]), refusal);
    }
  }

  #dropLate(): void {
    for (const request of this.#requests) if (request.isLate) this.#drop(new Set([request]), tooLate());
  }

  #drop(requests: ReadonlySet<EmbedRequest>, error: unknown): void {
    for (const request of requests) {
      request.fail(error);
      this.#requests.delete(request);
    }
    this.#waiting.remove(requests);
  }

  #deliver(items: readonly Item[], vectors: Float32Array): void {
    const { dimensions } = this.#backend;
    items.forEach(({ request, index }, row) => {
      const vector = vectors.subarray(row * dimensions, (row + 1) * dimensions);
      if (request.deliver(index, vector)) this.#requests.delete(request);
    });
  }
}

/** Undefined where one of them is known by its ids alone. */
function textsOf(batch: readonly ModelText[]): readonly string[] | undefined {
  const texts = batch.flatMap(({ text }) => (text === undefined ? [] : [text]));
  return texts.length === batch.length ? texts : undefined;
}

const tooLate = (): AppError =>
  new AppError('deadline_exceeded', 'The deadline passed before the texts could be embedded.');

const stopping = (): AppError =>
  new AppError('shutting_down', 'This worker is stopping; another one takes the job.');

function halves(items: readonly Item[]): [Item[], Item[]] {
  const middle = Math.ceil(items.length / 2);
  return [items.slice(0, middle), items.slice(middle)];
}
