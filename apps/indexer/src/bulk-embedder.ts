import type { AppError } from '@embergate/contracts/errors.ts';
import { toAppError } from '@embergate/contracts/errors.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { BulkTransport, type BulkSend } from '@embergate/embedding/bulk-transport.ts';
import { createJobWindow, embedMany, jobTokensFor, type JobWindow } from '@embergate/embedding/bulk.ts';
import type { EmbedAnswer, EmbedTransport, WorkerView } from '@embergate/embedding/transport.ts';
import type { EmbedOptions } from '@embergate/ingestion/run-request.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { setTimeout as wait } from 'node:timers/promises';

export interface BulkEmbedderParts {
  transport: EmbedTransport;
  workers: WorkerView;
  space: EmbeddingSpace;
  tiers: readonly TierName[];
  /** Told while jobs go past the first declared tier, or wait. */
  onMissed: (first: TierName) => void;
  log: Logger;
}

type Request = Parameters<BulkSend>[0];

/** How the jobs of some tiers go. */
interface Way {
  transport: BulkTransport;
  /**
   * One for all runs and batches: a batch that was begun first is done first, and written. Jobs wait inside it for a worker, so that
   * tiers without one hold up none but their own.
   */
  window: JobWindow;
}

export interface BulkEmbedOptions extends EmbedOptions {
  /** Told what has to come back before this goes on, and null once it has. */
  onWaiting?: ((what: string | null) => void) | undefined;
}

/**
 * One job waits behind other bulk work for this long before it is sent again: four jobs, cut before a slow worker was known, take
 * a quarter of an hour of it. One that is lost is sent again at once.
 */
const JOB_DEADLINE_MS = 1_800_000;
const RETRY_DELAY_MS = 1_000;
/** Between looks at whether a worker is there. */
const LOOK_MS = 500;
/** Failures of the model itself, in a row, before a run gives up. */
const MAX_MODEL_FAILURES = 5;
/** Failures on a job of several texts before it is looked at which of them the model cannot compute. */
const FAILURES_UNTIL_HALVED = 2;

/** Embeds for index runs: nobody waits for them, so they outlast what is away for a while. */
export class BulkEmbedder {
  readonly #parts: BulkEmbedderParts;
  readonly #space: string;
  readonly #ways = new Map<string, Way>();
  /** Single texts that the model failed on, with no success in between. */
  #failedTexts = 0;

  constructor(parts: BulkEmbedderParts) {
    this.#parts = parts;
    this.#space = spaceId(parts.space);
  }

  /** Whether a worker of one of the tiers would take work now. */
  isServed(tiers = this.#parts.tiers): boolean {
    return this.#parts.workers
      .living()
      .some(({ state, space, tier }) => state === 'ready' && space === this.#space && tiers.includes(tier));
  }

  /**
   * @param tiers those that may embed, in order of preference; default: all that are declared.
   * @returns one entry a text, in order: its vector, or why the model refuses it.
   * @throws AppError `embedding_failed` when the model failed again and again; the signal's reason.
   */
  async embed(
    inputs: readonly Uint32Array[],
    options: BulkEmbedOptions,
    tiers = this.#parts.tiers,
  ): Promise<(Float32Array | AppError)[]> {
    const { texts, signal, onEmbedded, onWaiting } = options;
    const { workers, space } = this.#parts;
    const refused = new Map<Uint32Array, AppError>();
    const { transport, window } = this.#wayOf(tiers);
    const stopLooking = onWaiting && this.#lookForWorkers(tiers, onWaiting);
    try {
      const vectors = await embedMany((request) => this.#send(transport, request, refused), {
        space: this.#space,
        inputs,
        texts: texts.map((text) => space.prompts.document + text),
        deadlineMs: JOB_DEADLINE_MS,
        jobTokens: jobTokensFor(workers.living().filter((beat) => beat.space === this.#space)),
        signal,
        window,
        onEmbedded: (done) => onEmbedded(done.filter((ids) => !refused.has(ids))),
      });
      return vectors.map((vector, at) => refused.get(inputs[at] as Uint32Array) ?? vector);
    } finally {
      stopLooking?.();
    }
  }

  /** @returns what ends it. */
  #lookForWorkers(tiers: readonly TierName[], onWaiting: (what: string | null) => void): () => void {
    let isWaiting = false;
    const say = (isGone: boolean): void => {
      if (isGone === isWaiting) return;
      isWaiting = isGone;
      onWaiting(isGone ? `a worker of tier ${tiers.join(' or ')}` : null);
    };
    const look = (): void => {
      if (this.#parts.workers.isKnown()) say(!this.isServed(tiers));
    };
    look();
    const looking = setInterval(look, LOOK_MS);
    return () => {
      clearInterval(looking);
      say(false);
    };
  }

  #wayOf(tiers: readonly TierName[]): Way {
    const key = tiers.join();
    const { transport, workers, onMissed, log } = this.#parts;
    const onWait = (): void => log.info({ tiers, space: this.#space }, 'waiting for a worker');
    const parts = { transport, workers, space: this.#space, tiers, onWait, onMissed };
    const way = this.#ways.get(key) ?? { transport: new BulkTransport(parts), window: createJobWindow() };
    this.#ways.set(key, way);
    return way;
  }

  /** Until it is answered; a text that the model refuses is found by halves, and gets a vector of nothing. */
  async #send(
    transport: BulkTransport,
    request: Request,
    refused: Map<Uint32Array, AppError>,
  ): Promise<EmbedAnswer> {
    const { signal, inputs, texts } = request;
    for (let failures = 0; ;) {
      try {
        const answer = await transport.send(request);
        this.#failedTexts = 0;
        return answer;
      } catch (thrown) {
        signal?.throwIfAborted();
        const error = toAppError(thrown);
        if (error.code === 'embedding_failed') failures += 1;
        const isTexts = error.code === 'text_refused' || failures >= FAILURES_UNTIL_HALVED;
        if (isTexts && inputs.length > 1) {
          const half = inputs.length >> 1;
          const part = (from: number, to: number): Promise<EmbedAnswer> =>
            this.#send(
              transport,
              { ...request, inputs: inputs.slice(from, to), texts: texts?.slice(from, to) },
              refused,
            );
          return joined(await part(0, half), await part(half, inputs.length));
        }
        if (isTexts && this.#isAboutText(error)) {
          this.#parts.log.warn({ code: error.code, message: error.message }, 'a text is left out');
          refused.set(inputs[0] as Uint32Array, error);
          return nothing(this.#parts.space.dimensions);
        }
        if (!error.kind.retryable || failures >= MAX_MODEL_FAILURES) throw error;
        this.#parts.log.warn({ code: error.code, failures }, 'a bulk job is sent again');
        await wait(RETRY_DELAY_MS, undefined, signal ? { signal } : {});
      }
    }
  }

  /** A model that fails on one text after the other is broken; one that fails on this one alone refuses it. */
  #isAboutText({ code }: AppError): boolean {
    if (code === 'text_refused') return true;
    this.#failedTexts += 1;
    return this.#failedTexts < MAX_MODEL_FAILURES;
  }
}

function joined(one: EmbedAnswer, other: EmbedAnswer): EmbedAnswer {
  const vectors = new Float32Array(one.vectors.length + other.vectors.length);
  vectors.set(one.vectors);
  vectors.set(other.vectors, one.vectors.length);
  return { meta: { ...other.meta, count: one.meta.count + other.meta.count }, vectors };
}

const nothing = (dimensions: number): EmbedAnswer => ({
  meta: {
    status: 'ok',
    id: '',
    count: 1,
    dimensions,
    workerId: '',
    tier: '',
    variant: '',
    device: '',
    queueMs: 0,
    inferenceMs: 0,
  },
  vectors: new Float32Array(dimensions),
});
