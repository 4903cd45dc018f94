import { AppError } from '@embergate/contracts/errors.ts';
import type { Embedded, EmbeddingBackend, EmbedOptions } from '@embergate/embedding/backend.ts';
import { madeUp } from '@embergate/embedding/made-up-text.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from './api-error.ts';
import { EmbeddingApi, type EmbeddingApiOptions } from './embedding-api.ts';

export interface RemoteBackendOptions extends EmbeddingApiOptions {
  /** As much of a text as its ids stand for: an API with a longer limit would read more of it. Default: all of it. */
  cut?: (text: string, ids: Uint32Array) => string;
  log: Logger;
  /** Told when the API is away, and when it is there again. */
  onAvailable?: (available: boolean) => void;
}

/** For a batch of unknown duration: one of the warm-up. */
const DEFAULT_HANG_MS = 60_000;
/** An API that starts its model with the first request takes a while; one that hangs is given up and asked again. */
const PROBE_LIMIT_MS = 10_000;
/** Between probes, by failures in a row: a tier is to take queries within ten seconds after its API is well. */
const PROBE_DELAYS_MS = [250, 500, 1_000, 2_000] as const;
const LONGEST_DELAY_MS = 4_000;
/** Somebody must change something first, and may be billed or locked out for every try. */
const MISCONFIGURED_DELAY_MS = 15_000;
/** An API that nobody has asked for so long is asked: what is shown of the tier would be out of date. */
const IDLE_MS = 10_000;
const LOOK_MS = 1_000;
/** Texts of one request: text-embeddings-inference takes no more as it comes. */
const MAX_TEXTS = 32;
/** Any model embeds it; what an API does not, is not the text's fault. */
const PROBE = [madeUp(4).text];

/**
 * A model behind an HTTP API.
 *
 *   away --probe answered--> ready --unreachable, busy, misconfigured--> away --close()--> closed
 *                             |--unclear--> probe answered: the batch's fault --> ready
 *                                       \-- probe failed: the API's fault --> away
 *
 * It begins away. While it is away, one text that is known to be good is sent again and again, not before the API's Retry-After.
 * Batches are sent as texts: {@link EmbedOptions.texts} must be there.
 */
export class RemoteBackend implements EmbeddingBackend {
  readonly device = 'remote';
  /** An API takes several requests at a time: queries go beside bulk work. */
  readonly bulkBeside = 1;
  readonly isolatesBulk = false;
  /** Whatever the server does, it is the texts that it bills and reads. */
  readonly pads = false;
  readonly dimensions: number;
  readonly #api: EmbeddingApi;
  readonly #cut: (text: string, ids: Uint32Array) => string;
  readonly #log: Logger;
  readonly #onAvailable: (available: boolean) => void;
  readonly #closing = new AbortController();
  #whyAway: ApiError | undefined = new ApiError('away', 'The embedding API has not answered yet.');
  /** Resolves when the API is there, or this is closed. */
  #returning: Promise<void>;
  #probing: Promise<ApiError | undefined> | undefined;
  #saidWhy = '';
  readonly #looking: NodeJS.Timeout;
  #underWay = 0;
  /** In the time of performance.now(). */
  #heardAt = 0;

  constructor({ log, onAvailable = () => undefined, cut = (text) => text, ...api }: RemoteBackendOptions) {
    this.#api = new EmbeddingApi(api);
    this.#cut = cut;
    this.#log = log;
    this.#onAvailable = onAvailable;
    this.dimensions = api.space.dimensions;
    this.#returning = this.#untilBack(0, 0);
    this.#looking = setInterval(() => void this.#look(), LOOK_MS);
  }

  /** The API's address, for logs. */
  get shown(): string {
    return this.#api.shown;
  }

  get isReady(): boolean {
    return this.#whyAway === undefined && !this.#closing.signal.aborted;
  }

  get whyAway(): AppError | undefined {
    return this.#whyAway?.toAppError(true);
  }

  computedTokens(batch: readonly Uint32Array[]): number {
    return batch.reduce((sum, ids) => sum + ids.length, 0);
  }

  async whenReady(): Promise<void> {
    while (!this.isReady) {
      if (this.#closing.signal.aborted) throw stopping();
      await this.#returning;
    }
  }

  async embed(
    batch: readonly Uint32Array[],
    { texts, hangMs = DEFAULT_HANG_MS }: EmbedOptions = {},
  ): Promise<Embedded> {
    if (texts?.length !== batch.length) {
      throw new AppError('embedding_failed', 'A remote API reads texts, and the batch has none.');
    }
    await this.whenReady();
    const startedAt = performance.now();
    try {
      const read = texts.map((text, at) => this.#cut(text, batch[at] as Uint32Array));
      const vectors = await this.#request(read, hangMs);
      return { vectors, ms: performance.now() - startedAt };
    } catch (thrown) {
      if (this.#closing.signal.aborted) throw stopping();
      throw thrown instanceof ApiError ? await this.#judged(thrown) : thrown;
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#looking);
    this.#closing.abort();
    await this.#returning;
  }

  /** In pieces that any API takes, side by side; where one fails the others are called off. */
  async #request(texts: readonly string[], limitMs: number): Promise<Float32Array> {
    const failed = new AbortController();
    const signal = AbortSignal.any([
      this.#closing.signal,
      AbortSignal.timeout(Math.ceil(limitMs)),
      failed.signal,
    ]);
    const vectors = new Float32Array(texts.length * this.dimensions);
    const piece = async (from: number): Promise<void> => {
      vectors.set(await this.#api.embed(texts.slice(from, from + MAX_TEXTS), signal), from * this.dimensions);
    };
    const starts = Array.from({ length: Math.ceil(texts.length / MAX_TEXTS) }, (_, at) => at * MAX_TEXTS);
    this.#underWay += 1;
    try {
      await Promise.all(starts.map(piece));
      this.#heardAt = performance.now();
      return vectors;
    } finally {
      this.#underWay -= 1;
      failed.abort();
    }
  }

  /** The API's fault, and it is away now; or the batch's. */
  async #judged(failure: ApiError): Promise<AppError> {
    if (failure.verdict !== 'unclear') return this.#leave(failure);
    const broken = await this.#probe();
    return broken ? this.#leave(broken) : failure.toAppError(false);
  }

  async #look(): Promise<void> {
    if (!this.isReady || this.#underWay > 0 || performance.now() - this.#heardAt < IDLE_MS) return;
    const broken = await this.#probe();
    if (broken) this.#leave(broken);
  }

  #leave(failure: ApiError): AppError {
    if (this.isReady) {
      this.#whyAway = failure;
      this.#returning = this.#untilBack(waitMs(failure, 0), 1);
      this.#say(failure);
      this.#onAvailable(false);
    }
    return failure.toAppError(true);
  }

  /** Ends when the API is there again, or never shall be. Never throws. */
  async #untilBack(firstDelayMs: number, failures: number): Promise<void> {
    const { signal } = this.#closing;
    for (let delayMs = firstDelayMs; ; failures += 1) {
      await sleep(delayMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const failure = await this.#probe();
      if (signal.aborted) return;
      if (!failure) break;
      this.#whyAway = failure;
      this.#say(failure);
      delayMs = waitMs(failure, failures);
    }
    this.#whyAway = undefined;
    this.#saidWhy = '';
    this.#log.info({ api: this.#api.shown }, 'the embedding API answers');
    this.#onAvailable(true);
  }

  /** Several that want to know at the same time ask once. @returns why it does not work. */
  #probe(): Promise<ApiError | undefined> {
    this.#probing ??= this.#request(PROBE, PROBE_LIMIT_MS)
      .then(
        () => undefined,
        (thrown: unknown) =>
          thrown instanceof ApiError ? thrown : new ApiError('away', 'This worker is stopping.'),
      )
      .finally(() => (this.#probing = undefined));
    return this.#probing;
  }

  /** Each reason once: it may last for days. */
  #say({ message, verdict, retryAfterMs }: ApiError): void {
    if (message === this.#saidWhy) return;
    this.#saidWhy = message;
    const level = verdict === 'misconfigured' ? 'error' : 'warn';
    this.#log[level]({ why: message, retryAfterMs }, 'the embedding API takes no texts');
  }
}

/** @param failures in a row, before this one. */
function waitMs({ verdict, retryAfterMs }: ApiError, failures: number): number {
  const ownMs =
    verdict === 'misconfigured' ? MISCONFIGURED_DELAY_MS : (PROBE_DELAYS_MS[failures] ?? LONGEST_DELAY_MS);
  return Math.max(PROBE_DELAYS_MS[0], retryAfterMs ?? ownMs);
}

const stopping = (): AppError => new AppError('shutting_down', 'This worker is stopping.');
