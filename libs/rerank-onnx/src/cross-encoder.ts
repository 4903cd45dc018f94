import type { Logger } from '@embergate/platform/logs.ts';
import { withTimeout } from '@embergate/platform/with-timeout.ts';
import {
  RerankSkipped,
  type Ranking,
  type Reranker,
  type RerankOptions,
} from '@embergate/rerank/reranker.ts';
import { fitDuration, LiveFit, predictMs, type Fit } from '@embergate/routing/fit.ts';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { batchesWithin, inBatches, type Batch } from './batch-plan.ts';
import { RerankProcess } from './rerank-process.ts';

export interface CrossEncoderOptions {
  /** For people. */
  name: string;
  onnxPath: string;
  tokenizerPath: string;
  /** Longest pair in tokens, special ones included. */
  maxTokens: number;
  padTokenId: number;
  maxPassages: number;
  /** Default: one a core. */
  threads?: number;
  log: Logger;
}

/** From a cold disk. */
const LOAD_LIMIT_MS = 300_000;
/** By failures in a row. */
const RESTART_DELAYS_MS = [0, 500, 2_000];
const LONGEST_DELAY_MS = 10_000;
/** A batch that takes so much longer than predicted, and so many milliseconds at least, is not coming back. */
const HANG_FACTOR = 10;
const LEAST_HANG_MS = 5_000;
/** A machine that was busy so many milliseconds ago need not be now. */
const FORGET_MS = 10_000;

interface Run {
  query: string;
  until: number;
  signal: AbortSignal | undefined;
  /** What has been scored, batch after batch. */
  done: Float32Array[];
}

/**
 * A cross-encoder in a child process of its own: it reads the query and a passage together and gives the pair one number. Lists are computed one
 * after the other, each from its first passage on, as far as its time goes by what batches took lately.
 *
 *   loading --loaded--> ready --child ended or hung--> restarting --loaded--> ready --close()--> closed
 */
export class CrossEncoder implements Reranker {
  readonly name: string;
  readonly maxPassages: number;
  readonly #options: CrossEncoderOptions;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  #seed: Fit = { a: 0, b: 0 };
  #fit = new LiveFit(this.#seed);
  #measuredAt = 0;
  /** Undefined while there is none that is ready. */
  #ready: RerankProcess | undefined;
  #starting: RerankProcess | undefined;
  #failures = 0;
  /** Milliseconds of batches that are promised and not done. */
  #promisedMs = 0;
  /** Resolves when the last list that was taken is done. */
  #lastTurn: Promise<void> = Promise.resolve();

  private constructor(options: CrossEncoderOptions) {
    this.#options = options;
    this.#log = options.log;
    this.name = options.name;
    this.maxPassages = options.maxPassages;
  }

  /** @throws AppError `model_damaged` where the model cannot be read or ranks no pairs, `process_failed`. */
  static async create(options: CrossEncoderOptions): Promise<CrossEncoder> {
    const encoder = new CrossEncoder(options);
    try {
      await encoder.#start();
    } catch (error) {
      await encoder.close();
      throw error;
    }
    return encoder;
  }

  /** Process id of the rerank child, for reports and for tests that end it. */
  get childPid(): number | undefined {
    return this.#ready?.pid;
  }

  async rerank(query: string, passages: readonly string[], options: RerankOptions): Promise<Ranking> {
    const { until, signal } = options;
    if (!this.#ready || this.#closing.signal.aborted)
      throw new RerankSkipped('away', 'its process is not there');
    if (signal?.aborted) throw new RerankSkipped('late', 'nobody waits for it');
    if (passages.length === 0) return [];
    const batches = inBatches(query, passages.slice(0, this.maxPassages), this.#options.maxTokens);
    const planned = this.#plan(batches, until);
    const run: Run = { query, until, signal, done: [] };
    const working = this.#inTurn(planned, run);
    const late = (): RerankSkipped => new RerankSkipped('late', 'it was not done in time');
    const failure = await withTimeout(working, until - performance.now(), late).then(
      () => undefined,
      (error: unknown) => error,
    );
    const isDefect = failure !== undefined && !(failure instanceof RerankSkipped);
    if (isDefect) this.#log.warn({ err: failure }, 'a list could not be reranked to its end');
    const scores = [...run.done].flatMap((logits) => [...logits]);
    if (scores.length > 0) return ranked(scores);
    if (isDefect) throw new RerankSkipped('failed', failure instanceof Error ? failure.message : 'no answer');
    throw failure ?? late();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([this.#ready?.kill(), this.#starting?.kill()]);
  }

  /** What can be done in time behind what others have been promised. */
  #plan(batches: Batch[], until: number): { fitting: Batch[]; ms: number } {
    if (performance.now() - this.#measuredAt > FORGET_MS) this.#fit = new LiveFit(this.#seed);
    const leftMs = until - performance.now();
    const planned = batchesWithin(batches, leftMs - this.#promisedMs, this.#fit.current);
    if (planned.fitting.length > 0) return planned;
    const [first] = batches as [Batch];
    const neededMs = Math.ceil(this.#promisedMs + predictMs(this.#fit.current, first.tokens));
    const left = Math.max(0, Math.floor(leftMs));
    throw new RerankSkipped(
      'no_time',
      `the first ${first.passages.length} candidates take about ${neededMs} ms, and ${left} ms are left`,
    );
  }

  /** Lists one after the other: each is done soonest, and none waits for a part of one that came later. */
  async #inTurn({ fitting, ms }: { fitting: Batch[]; ms: number }, run: Run): Promise<void> {
    const before = this.#lastTurn;
    const turn = Promise.withResolvers<void>();
    this.#lastTurn = turn.promise;
    this.#promisedMs += ms;
    try {
      await before;
      await this.#score(fitting, run);
    } finally {
      this.#promisedMs -= ms;
      turn.resolve();
    }
  }

  async #score(batches: readonly Batch[], { query, until, signal, done }: Run): Promise<void> {
    for (const { passages, tokens } of batches) {
      const predictedMs = predictMs(this.#fit.current, tokens);
      if (signal?.aborted || performance.now() + predictedMs > until) return;
      const startedAt = performance.now();
      if (!this.#ready) throw new RerankSkipped('away', 'its process is not there');
      done.push(await this.#ready.score(query, passages, Math.max(LEAST_HANG_MS, HANG_FACTOR * predictedMs)));
      this.#measuredAt = performance.now();
      this.#fit.observe({ paddedTokens: tokens, ms: this.#measuredAt - startedAt });
      this.#failures = 0;
    }
  }

  async #start(): Promise<void> {
    const {
      onnxPath,
      tokenizerPath,
      maxTokens,
      padTokenId,
      threads = availableParallelism(),
    } = this.#options;
    const process = new RerankProcess(
      { onnxPath, tokenizerPath, maxTokens, padTokenId, threads },
      LOAD_LIMIT_MS,
    );
    this.#starting = process;
    const samples = await process.loaded;
    this.#seed = fitDuration(samples);
    this.#fit = new LiveFit(this.#seed);
    this.#ready = process;
    void process.ended.then((how) => this.#onEnd(how));
  }

  #onEnd(how: string): void {
    this.#ready = undefined;
    if (this.#closing.signal.aborted) return;
    this.#log.error({ how }, 'the rerank process ended');
    void this.#restart();
  }

  /** Ends when the model is there again, or never shall be. */
  async #restart(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const delayMs = RESTART_DELAYS_MS[this.#failures] ?? LONGEST_DELAY_MS;
      this.#failures += 1;
      await sleep(delayMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.#start();
        return this.#log.info({ childPid: this.childPid }, 'the rerank process is back');
      } catch (error) {
        if (!signal.aborted) this.#log.error({ err: error }, 'the rerank process did not come back');
      }
    }
  }
}

/** The sigmoid of a pair's number: from 0 to 1, in the same order. */
const scoreOf = (logit: number): number => 1 / (1 + Math.exp(-logit));

const ranked = (logits: readonly number[]): Ranking =>
  logits.map((logit, at) => ({ at, score: scoreOf(logit) })).sort((a, b) => b.score - a.score || a.at - b.at);
