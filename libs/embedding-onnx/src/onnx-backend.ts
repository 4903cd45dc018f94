import { AppError } from '@embergate/contracts/errors.ts';
import type { Embedded, EmbeddingBackend, EmbedOptions } from '@embergate/embedding/backend.ts';
import { paddedTokens, tokensAfterPrefixes } from '@embergate/embedding/padded-tokens.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Device } from './devices.ts';
import { InferenceProcess, type Ending } from './inference-process.ts';

export interface OnnxBackendOptions {
  onnxPath: string;
  dimensions: number;
  padTokenId: number;
  /** A model that reads from left to right and computes long texts in parts, between which queries go. Default: no. */
  isDecoder?: boolean;
  /** How texts begin again and again, as an even number of token ids each: a decoder pays for these once. */
  prefixes?: Uint32Array[];
  /** Default: `cpu`. */
  device?: Device;
  /** Names of nodes that stay on the CPU where the model runs on WebGPU. Default: none. */
  nodesOnCpu?: string[];
  /** WebGPU may be a program on the CPU, which is slower than the CPU itself. Default: no. */
  mayBeSoftware?: boolean;
  log: Logger;
  /** Default: one a core. */
  threads?: number;
  /** Takes what processor time others leave. Default: no. */
  isBackground?: boolean;
  /** Told when the model is gone, and when it is there again. */
  onAvailable?: (available: boolean) => void;
}

/** For a batch of unknown duration: one of the warm-up. */
export const DEFAULT_HANG_MS = 60_000;
/** The first time the model comes from a cold disk. */
const FIRST_LOAD_LIMIT_MS = 300_000;
/** Later it is known how long it takes. */
const laterLoadLimitMs = (firstLoadMs: number): number => 5_000 + 5 * firstLoadMs;
/** By ends in a row without a vector in between. */
const RESTART_DELAYS_MS = [0, 500, 2_000];
const LONGEST_DELAY_MS = 10_000;
/** A batch that ends the process is tried again in halves, which comes to an end by itself, and others wait for it. */
const MAX_DELAY_IN_BATCH_MS = 500;

/**
 * onnxruntime in a supervised child process.
 *
 *   loading --loaded--> ready --child ended or hung--> restarting --loaded--> ready --close()--> closed
 *
 * A crash, an out-of-memory kill or a hang of the child fails the batch under way with `embedding_failed` and
 * `details.childEnded`; the next embed() waits for the new child.
 */
export class OnnxBackend implements EmbeddingBackend {
  readonly dimensions: number;
  readonly #options: OnnxBackendOptions;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  #proof = '';
  #process: InferenceProcess | undefined;
  #isReady = false;
  /** The first start rejects where it fails; a later one resolves when the model is there again, or this is closed. */
  #starting: Promise<void>;
  #loadLimitMs = FIRST_LOAD_LIMIT_MS;
  #failures = 0;

  /** Begins to load the model; {@link whenReady} rejects with what {@link create} would, where that fails. */
  constructor(options: OnnxBackendOptions) {
    this.#options = options;
    this.dimensions = options.dimensions;
    this.#log = options.log;
    const startedAt = performance.now();
    this.#starting = this.#start().then(() => {
      this.#loadLimitMs = laterLoadLimitMs(performance.now() - startedAt);
    });
  }

  /**
   * @throws AppError `model_damaged` when onnxruntime refuses the model; `device_unavailable` when the device does not work, or
   * did not compute all of the model's matrix work.
   */
  static async create(options: OnnxBackendOptions): Promise<OnnxBackend> {
    const backend = new OnnxBackend(options);
    try {
      await backend.#starting;
    } catch (error) {
      await backend.close();
      throw error;
    }
    return backend;
  }

  /** Seen to be so: on another device this does not come to be. */
  get device(): Device {
    return this.#options.device ?? 'cpu';
  }

  /** Where the model's matrix work was seen to run, for people. */
  get proof(): string {
    return this.#proof;
  }

  get bulkBeside(): number {
    return this.#options.isDecoder === true ? 1 : 0;
  }

  readonly isolatesBulk = false;

  get pads(): boolean {
    return this.#options.isDecoder !== true;
  }

  computedTokens(batch: readonly Uint32Array[]): number {
    const { isDecoder = false, prefixes = [] } = this.#options;
    return isDecoder ? tokensAfterPrefixes(batch, prefixes) : paddedTokens(batch);
  }

  get isReady(): boolean {
    return this.#isReady && !this.#closing.signal.aborted;
  }

  /** Process id of the inference child, for reports and for tests that end it. */
  get childPid(): number | undefined {
    return this.#process?.pid;
  }

  async whenReady(): Promise<void> {
    while (!this.isReady) {
      if (this.#closing.signal.aborted) throw stopping();
      await this.#starting;
    }
  }

  async embed(
    batch: readonly Uint32Array[],
    { hangMs = DEFAULT_HANG_MS, lane = 'query' }: EmbedOptions = {},
  ): Promise<Embedded> {
    await this.whenReady();
    if (!this.#process) throw stopping();
    const embedded = await this.#process.run(batch, { lane, hangMs });
    this.#failures = 0;
    return embedded;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#process?.kill();
  }

  async #start(): Promise<void> {
    const {
      onnxPath,
      dimensions,
      padTokenId,
      prefixes = [],
      threads = availableParallelism(),
      nodesOnCpu = [],
      mayBeSoftware = false,
      isBackground = false,
    } = this.#options;
    const { device } = this;
    const child = new InferenceProcess({
      model: {
        onnxPath,
        dimensions,
        padTokenId,
        prefixes,
        threads,
        device,
        nodesOnCpu,
        mayBeSoftware,
        isBackground,
      },
      loadLimitMs: this.#loadLimitMs,
      onHang: (doing, limitMs) =>
        this.#log.error({ doing, limitMs, childPid: child.pid }, 'the inference process hangs; replacing it'),
    });
    this.#process = child;
    this.#proof = await child.loaded;
    this.#isReady = true;
    void child.ended.then((ending) => this.#onEnd(ending));
  }

  #onEnd(ending: Ending): void {
    this.#isReady = false;
    if (this.#closing.signal.aborted) return;
    this.#starting = this.#restart(ending);
    this.#options.onAvailable?.(false);
  }

  /** Ends when the model is there again, or never shall be. */
  async #restart({ how, inBatch }: Ending): Promise<void> {
    const { signal } = this.#closing;
    let maxDelayMs = inBatch ? MAX_DELAY_IN_BATCH_MS : Infinity;
    this.#log.error({ how, inBatch }, 'the inference process ended');
    while (!signal.aborted) {
      const delayMs = Math.min(maxDelayMs, RESTART_DELAYS_MS[this.#failures] ?? LONGEST_DELAY_MS);
      this.#failures += 1;
      await sleep(delayMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.#start();
        this.#log.info(
          { childPid: this.childPid, failures: this.#failures },
          'the inference process is back',
        );
        return this.#options.onAvailable?.(true);
      } catch (error) {
        if (!signal.aborted) this.#log.error({ err: error }, 'the inference process did not come back');
        maxDelayMs = Infinity;
      }
    }
  }
}

const stopping = (): AppError => new AppError('shutting_down', 'This worker is stopping.');
