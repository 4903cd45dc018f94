import { AppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingBackend } from '@embergate/embedding/backend.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { fork, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { FromChild, LoadModel, ToChild } from './protocol.ts';

export interface OnnxBackendOptions {
  onnxPath: string;
  dimensions: number;
  padTokenId: number;
  log: Logger;
  /** Default: one a core. */
  threads?: number;
  /** A batch that takes longer counts as a hang, and the child is replaced. */
  hangMs?: number;
  /** Told when the model is gone, and when it is there again. */
  onAvailable?: (available: boolean) => void;
}

interface Pending {
  resolve: (vectors: Float32Array) => void;
  reject: (error: AppError) => void;
  timer: NodeJS.Timeout;
}

const CHILD = fileURLToPath(new URL('./inference-child.ts', import.meta.url));
const DEFAULT_HANG_MS = 60_000;
const LOAD_TIMEOUT_MS = 300_000;
const RESTART_DELAYS_MS = [0, 500, 2_000, 10_000];

/**
 * onnxruntime in a supervised child process.
 *
 *   loading --loaded--> ready --child ended or hung--> restarting --loaded--> ready --close()--> closed
 *
 * A crash, an out-of-memory kill or a hang of the child fails the batch under way with `embedding_failed`; the next
 * embed() waits for the new child.
 */
export class OnnxBackend implements EmbeddingBackend {
  readonly dimensions: number;
  readonly #options: OnnxBackendOptions;
  readonly #log: Logger;
  #device = 'cpu';
  #child: ChildProcess | undefined;
  #ready: Promise<void>;
  #pending = new Map<number, Pending>();
  #nextId = 0;
  #failures = 0;
  #closed = false;

  private constructor(options: OnnxBackendOptions) {
    this.#options = options;
    this.dimensions = options.dimensions;
    this.#log = options.log;
    this.#ready = this.#start();
  }

  /** @throws AppError `model_damaged` when onnxruntime refuses the model. */
  static async create(options: OnnxBackendOptions): Promise<OnnxBackend> {
    const backend = new OnnxBackend(options);
    try {
      await backend.#ready;
    } catch (error) {
      await backend.close();
      throw error;
    }
    return backend;
  }

  get device(): string {
    return this.#device;
  }

  /** Process id of the inference child, for reports and for tests that end it. */
  get childPid(): number | undefined {
    return this.#child?.pid;
  }

  async embed(batch: readonly Uint32Array[]): Promise<Float32Array> {
    if (this.#closed) throw new AppError('shutting_down', 'This worker is stopping.');
    await this.#ready;
    const lengths = Uint32Array.from(batch, (ids) => ids.length);
    const ids = new Uint32Array(lengths.reduce((sum, length) => sum + length, 0));
    let at = 0;
    for (const text of batch) {
      ids.set(text, at);
      at += text.length;
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const { hangMs = DEFAULT_HANG_MS } = this.#options;
      const timer = setTimeout(() => this.#replaceHung(hangMs), hangMs);
      this.#pending.set(id, { resolve, reject, timer });
      this.#send({ type: 'run', id, ids, lengths });
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#failPending('This worker is stopping.');
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL'); // it holds nothing that needs saving, and may be in the middle of a long batch
    await exited;
  }

  #start(): Promise<void> {
    const child = fork(CHILD, [], {
      serialization: 'advanced',
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    const ready = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new AppError('model_damaged', 'The model did not load in time.'));
        child.kill('SIGKILL');
      }, LOAD_TIMEOUT_MS);
      child.on('error', (error) => {
        clearTimeout(timer);
        reject(new AppError('embedding_failed', `The inference process cannot be started: ${error.message}`));
      });
      child.on('message', (message: FromChild) => {
        if (message.type === 'loaded') {
          this.#device = message.device;
          clearTimeout(timer);
          resolve();
        } else if (message.type === 'load_failed') {
          clearTimeout(timer);
          reject(
            new AppError(
              'model_damaged',
              `onnxruntime cannot load ${this.#options.onnxPath}: ${message.message}`,
            ),
          );
        } else this.#settle(message);
      });
      child.on('exit', (code, signal) => {
        clearTimeout(timer);
        reject(
          new AppError(
            'embedding_failed',
            `The inference process ended while it loaded the model (${signal ?? code}).`,
          ),
        );
        this.#onExit(child, signal ?? String(code));
      });
    });
    const { onnxPath, dimensions, padTokenId, threads = availableParallelism() } = this.#options;
    this.#send({ type: 'load', onnxPath, dimensions, padTokenId, threads } satisfies LoadModel);
    return ready;
  }

  #settle(message: Extract<FromChild, { id: number }>): void {
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    this.#pending.delete(message.id);
    clearTimeout(pending.timer);
    if (message.type === 'vectors') {
      this.#failures = 0;
      pending.resolve(message.vectors);
    } else
      pending.reject(
        new AppError('embedding_failed', `The model could not embed the batch: ${message.message}`),
      );
  }

  #replaceHung(hangMs: number): void {
    this.#log.error({ hangMs, childPid: this.childPid }, 'the inference process hangs; replacing it');
    this.#child?.kill('SIGKILL');
  }

  #onExit(child: ChildProcess, how: string): void {
    if (this.#closed || child !== this.#child) return;
    const delay = RESTART_DELAYS_MS[Math.min(this.#failures, RESTART_DELAYS_MS.length - 1)] ?? 0;
    this.#failures += 1;
    this.#log.error({ how, restartInMs: delay, failures: this.#failures }, 'the inference process ended');
    this.#options.onAvailable?.(false);
    this.#failPending(`The inference process ended (${how}).`);
    this.#ready = new Promise((resolve) => setTimeout(resolve, delay)).then(() =>
      this.#closed ? undefined : this.#start(),
    );
    this.#ready.then(
      () => this.#closed || this.#options.onAvailable?.(true),
      (error: unknown) => this.#log.error({ err: error }, 'the inference process did not come back'),
    );
  }

  #failPending(message: string): void {
    const pending = this.#pending;
    this.#pending = new Map();
    for (const { reject, timer } of pending.values()) {
      clearTimeout(timer);
      reject(new AppError('embedding_failed', message));
    }
  }

  #send(message: ToChild): void {
    // A child that has just died fails its batch by its exit event, not by this write.
    this.#child?.send(message, () => undefined);
  }
}
