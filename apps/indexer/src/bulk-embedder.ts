import { toAppError } from '@embergate/contracts/errors.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { BulkTransport, type BulkSend } from '@embergate/embedding/bulk-transport.ts';
import { createJobWindow, embedMany, jobTokensFor } from '@embergate/embedding/bulk.ts';
import type { EmbedTransport, WorkerView } from '@embergate/embedding/transport.ts';
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

/**
 * One job waits behind other bulk work for this long before it is sent again: four jobs, cut before a slow worker was known, take
 * a quarter of an hour of it. One that is lost is sent again at once.
 */
const JOB_DEADLINE_MS = 1_800_000;
const RETRY_DELAY_MS = 1_000;
/** Failures of the model itself, in a row, before a run gives up. */
const MAX_MODEL_FAILURES = 5;

/** Embeds for index runs: nobody waits for them, so they outlast what is away for a while. */
export class BulkEmbedder {
  readonly #log: Logger;
  readonly #space: string;
  readonly #prompt: string;
  readonly #transport: BulkTransport;
  readonly #workers: WorkerView;
  /** One for all runs and batches: a batch that was begun first is done first, and written. */
  readonly #window = createJobWindow();

  constructor({ transport, workers, space, tiers, onMissed, log }: BulkEmbedderParts) {
    this.#log = log;
    this.#space = spaceId(space);
    this.#prompt = space.prompts.document;
    this.#workers = workers;
    const onWait = (): void => log.info({ tiers, space: this.#space }, 'waiting for a worker');
    this.#transport = new BulkTransport({ transport, workers, space: this.#space, tiers, onWait, onMissed });
  }

  /**
   * @returns one vector a text, in order.
   * @throws AppError `embedding_failed` when the model failed again and again; the signal's reason.
   */
  async embed(inputs: readonly Uint32Array[], options: EmbedOptions): Promise<Float32Array[]> {
    const { texts, signal, onEmbedded } = options;
    return embedMany(this.#sendUntilAnswered, {
      space: this.#space,
      inputs,
      texts: texts.map((text) => this.#prompt + text),
      deadlineMs: JOB_DEADLINE_MS,
      jobTokens: jobTokensFor(this.#workers.living().filter(({ space }) => space === this.#space)),
      signal,
      window: this.#window,
      onEmbedded,
    });
  }

  readonly #sendUntilAnswered: BulkSend = async (request) => {
    const { signal } = request;
    for (let failures = 0; ;) {
      try {
        return await this.#transport.send(request);
      } catch (thrown) {
        signal?.throwIfAborted();
        const error = toAppError(thrown);
        if (error.code === 'embedding_failed') failures += 1;
        if (!error.kind.retryable || failures >= MAX_MODEL_FAILURES) throw error;
        this.#log.warn({ code: error.code, failures }, 'a bulk job is sent again');
        await wait(RETRY_DELAY_MS, undefined, signal ? { signal } : {});
      }
    }
  };
}
