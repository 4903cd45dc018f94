import { toAppError } from '@embergate/contracts/errors.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { createJobWindow, embedMany } from '@embergate/embedding/bulk.ts';
import type { EmbedTransport, SendRequest, WorkerView } from '@embergate/embedding/transport.ts';
import type { EmbedOptions } from '@embergate/ingestion/index-run.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { setTimeout as wait } from 'node:timers/promises';

export interface BulkEmbedderParts {
  transport: EmbedTransport;
  workers: WorkerView;
  space: EmbeddingSpace;
  tiers: readonly TierName[];
  log: Logger;
}

/** One job waits behind other bulk work for this long before it is sent again. */
const JOB_DEADLINE_MS = 300_000;
const WORKER_POLL_MS = 500;
const RETRY_DELAY_MS = 1_000;
/** Failures of the model itself, in a row, before a run gives up. */
const MAX_MODEL_FAILURES = 5;

/** Embeds for index runs: nobody waits for them, so they outlast what is away for a while. */
export class BulkEmbedder {
  readonly #parts: BulkEmbedderParts;
  readonly #space: string;
  readonly #transport: EmbedTransport;
  /** One for all runs and batches: a batch that was begun first is done first, and written. */
  readonly #window = createJobWindow();

  constructor(parts: BulkEmbedderParts) {
    this.#parts = parts;
    this.#space = spaceId(parts.space);
    this.#transport = { send: (request) => this.#sendUntilAnswered(request) };
  }

  /**
   * @returns one vector a text, in order.
   * @throws AppError `embedding_failed` when the model failed again and again; the signal's reason.
   */
  async embed(inputs: readonly Uint32Array[], options: EmbedOptions): Promise<Float32Array[]> {
    const { signal, onEmbedded } = options;
    const tier = await this.#readyTier(signal);
    return embedMany(this.#transport, {
      tier,
      space: this.#space,
      inputs,
      deadlineMs: JOB_DEADLINE_MS,
      signal,
      window: this.#window,
      onEmbedded,
    });
  }

  async #sendUntilAnswered(request: SendRequest): ReturnType<EmbedTransport['send']> {
    const { signal } = request;
    for (let failures = 0; ;) {
      try {
        return await this.#parts.transport.send(request);
      } catch (thrown) {
        signal?.throwIfAborted();
        const error = toAppError(thrown);
        if (error.code === 'embedding_failed') failures += 1;
        if (!(error.kind.retryable || error.code === 'embedding_failed') || failures >= MAX_MODEL_FAILURES)
          throw error;
        this.#parts.log.warn({ code: error.code, failures }, 'a bulk job is sent again');
        await wait(RETRY_DELAY_MS, undefined, signal ? { signal } : {});
      }
    }
  }

  /** The first declared tier that has a ready worker; waits for one. */
  async #readyTier(signal: AbortSignal): Promise<TierName> {
    for (let told = false; ; told = true) {
      signal.throwIfAborted();
      const living = this.#parts.workers
        .living()
        .filter((beat) => beat.space === this.#space && beat.state === 'ready');
      const tier = this.#parts.tiers.find((name) => living.some((beat) => beat.tier === name));
      if (tier !== undefined) return tier;
      if (!told)
        this.#parts.log.info({ tiers: this.#parts.tiers, space: this.#space }, 'waiting for a worker');
      await wait(WORKER_POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}
