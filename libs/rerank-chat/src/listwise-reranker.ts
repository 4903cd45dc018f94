import type { Logger } from '@embergate/platform/logs.ts';
import {
  RerankSkipped,
  type Ranking,
  type Reranker,
  type RerankOptions,
} from '@embergate/rerank/reranker.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChatApi, type ChatApiOptions } from './chat-api.ts';
import { ChatFailure } from './chat-failure.ts';
import { rankingPrompt } from './prompt.ts';
import { readOrder } from './read-order.ts';
import { WindowCost } from './window-cost.ts';
import { depthOf, slidingWindows, WINDOW } from './windows.ts';

export interface ListwiseRerankerOptions extends ChatApiOptions {
  maxPassages: number;
  log: Logger;
}

/** After failures in a row; an API's Retry-After goes before it. */
const PAUSES_MS = [1_000, 2_000, 4_000, 8_000] as const;
const LONGEST_PAUSE_MS = 15_000;
/** Before the one request that is sent again, where the API asks for nothing else. */
const RETRY_MS = 100;

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at);
const rankingOf = (order: readonly number[]): Ranking =>
  order.map((at, rank) => ({ at, score: 1 - rank / order.length }));

interface Run {
  query: string;
  passages: readonly string[];
  until: number;
  signal: AbortSignal;
  /** One request of a list may be sent again. */
  mayRetry: boolean;
}

/**
 * A language model that is shown windows of a list and names their order. As many windows as the time allows, by what they took lately: a
 * shorter list, but the whole method. Where that is not known, the window in front is asked first, and the whole list after it, where there is time.
 * A list whose last window, the one in front, is not answered in time is skipped, or left as that first window has it: until then only
 * passages far behind have moved.
 *
 *   ready --a window failed--> resting --pause over--> ready --close()--> closed
 */
export class ListwiseReranker implements Reranker {
  readonly name: string;
  readonly maxPassages: number;
  readonly #api: ChatApi;
  readonly #log: Logger;
  readonly #cost = new WindowCost();
  readonly #closing = new AbortController();
  #failures = 0;
  #restsUntil = -Infinity;
  #whyResting = '';

  constructor({ maxPassages, log, ...api }: ListwiseRerankerOptions) {
    this.#api = new ChatApi(api);
    this.#log = log;
    this.maxPassages = maxPassages;
    this.name = `${api.model} at ${this.#api.shown}`;
  }

  async rerank(query: string, passages: readonly string[], options: RerankOptions): Promise<Ranking> {
    this.#expectReady(options.signal);
    if (passages.length === 0) return [];
    const wanted = Math.min(passages.length, this.maxPassages);
    const isKnown = this.#cost.predictedMs !== undefined;
    const depth = isKnown ? this.#depth(wanted, options.until) : Math.min(wanted, WINDOW);
    const timeout = AbortSignal.timeout(Math.max(0, Math.ceil(options.until - performance.now())));
    const run: Run = {
      query,
      passages,
      until: options.until,
      signal: AbortSignal.any([timeout, this.#closing.signal, ...(options.signal ? [options.signal] : [])]),
      mayRetry: true,
    };
    const order = await this.#slide(run, upTo(depth));
    return rankingOf(isKnown || wanted <= WINDOW ? order : await this.#goOn(run, order, wanted));
  }

  async close(): Promise<void> {
    this.#closing.abort();
  }

  #expectReady(signal: AbortSignal | undefined): void {
    if (this.#closing.signal.aborted) throw new RerankSkipped('away', 'This gateway is stopping');
    if (signal?.aborted) throw new RerankSkipped('late', 'Nobody waits for it');
    if (performance.now() < this.#restsUntil) throw new RerankSkipped('away', this.#whyResting);
  }

  /** @returns the passages of `order` as the model has them, its best first. */
  async #slide(run: Run, order: readonly number[]): Promise<number[]> {
    const sorted = [...order];
    let answered = 0;
    for (const { from, to } of slidingWindows(sorted.length)) {
      const shown = sorted.slice(from, to);
      const found = await this.#askWindow(run, shown);
      if (found) sorted.splice(from, shown.length, ...found.map((at) => shown[at] as number));
      if (found) answered += 1;
    }
    if (answered === 0) throw new RerankSkipped('failed', `${this.name} named no order`);
    return sorted;
  }

  /** The whole list, by what its front has just taken; the front alone where that is as far as the time goes. */
  async #goOn(run: Run, front: number[], wanted: number): Promise<number[]> {
    const depth = Math.min(wanted, depthOf(this.#windowsUntil(run.until)));
    if (depth <= front.length) return front;
    try {
      return await this.#slide(run, [...front, ...upTo(depth).slice(front.length)]);
    } catch (error) {
      if (error instanceof RerankSkipped && (error.reason === 'late' || !run.signal.aborted)) return front;
      throw error;
    }
  }

  /** Windows that can be answered by then. */
  #windowsUntil(until: number): number {
    const leftMs = until - performance.now();
    return Math.max(0, Math.floor(leftMs / (this.#cost.predictedMs ?? Infinity)));
  }

  /** How many passages can be ranked in time. */
  #depth(wanted: number, until: number): number {
    const windows = this.#windowsUntil(until);
    if (windows > 0) return Math.min(wanted, depthOf(windows));
    const [windowMs, leftMs] = [this.#cost.predictedMs ?? 0, until - performance.now()];
    throw new RerankSkipped(
      'no_time',
      `one window takes about ${Math.ceil(windowMs)} ms, and ${Math.max(0, Math.floor(leftMs))} ms are left`,
    );
  }

  /** @returns positions within the window, best first; null where the answer names no order. */
  async #askWindow(run: Run, shown: readonly number[]): Promise<number[] | null> {
    const texts = shown.map((at) => run.passages[at] ?? '');
    const messages = rankingPrompt(run.query, texts);
    const startedAt = performance.now();
    try {
      const answer = await this.#api.ask(messages, run.signal);
      this.#cost.observe(performance.now() - startedAt);
      this.#failures = 0;
      this.#whyResting = '';
      return readOrder(answer, texts.length);
    } catch (thrown) {
      if (!(thrown instanceof ChatFailure)) throw this.#stopped(thrown, performance.now() - startedAt);
      if (run.mayRetry && (await this.#waited(thrown, run))) {
        run.mayRetry = false;
        return this.#askWindow(run, shown);
      }
      throw this.#rest(thrown);
    }
  }

  /** Called off: the time is over, the caller has left, the gateway stops. */
  #stopped(reason: unknown, elapsedMs: number): Error {
    const isLate = reason instanceof DOMException && reason.name === 'TimeoutError';
    if (isLate) this.#cost.observeAtLeast(elapsedMs);
    return isLate
      ? new RerankSkipped('late', `${this.name} did not answer in time`)
      : new RerankSkipped('away', 'Nobody waits for it');
  }

  /** Whether it is worth another try, once the API has had its pause. */
  async #waited(failure: ChatFailure, { until, signal }: Run): Promise<boolean> {
    const pauseMs = failure.retryAfterMs ?? RETRY_MS;
    const neededMs = pauseMs + (this.#cost.predictedMs ?? 0);
    if (failure.verdict === 'misconfigured' || performance.now() + neededMs >= until) return false;
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    return !signal.aborted;
  }

  #rest(failure: ChatFailure): RerankSkipped {
    const pauseMs =
      failure.verdict === 'misconfigured'
        ? LONGEST_PAUSE_MS
        : (PAUSES_MS[this.#failures] ?? LONGEST_PAUSE_MS);
    this.#failures += 1;
    this.#restsUntil = performance.now() + (failure.retryAfterMs ?? pauseMs);
    if (failure.message !== this.#whyResting) {
      const level = failure.verdict === 'misconfigured' ? 'error' : 'warn';
      this.#log[level]({ why: failure.message, retryAfterMs: failure.retryAfterMs }, 'the rerank API fails');
    }
    this.#whyResting = failure.message;
    return new RerankSkipped(failure.verdict === 'unclear' ? 'failed' : 'away', failure.message);
  }
}
