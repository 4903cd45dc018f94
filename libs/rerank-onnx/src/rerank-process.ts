import { AppError } from '@embergate/contracts/errors.ts';
import { startHangTimer } from '@embergate/platform/hang-timer.ts';
import type { Sample } from '@embergate/routing/fit.ts';
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { FromChild, LoadCrossEncoder, ToChild } from './protocol.ts';

const CHILD = fileURLToPath(new URL('./rerank-child.ts', import.meta.url));

interface Batch {
  id: number;
  resolve: (logits: Float32Array) => void;
  reject: (error: Error) => void;
  callOff: () => void;
}

/**
 * One rerank child, from its start to its end.
 *
 *   loading --loaded--> ready --killed, crashed, hung--> ended
 *      \--cannot load, killed, hung--> ended
 */
export class RerankProcess {
  /**
   * What batches of several sizes took, once the model is loaded.
   * @throws AppError `model_damaged`; `process_failed` when the process has ended.
   */
  readonly loaded: Promise<Sample[]>;
  /** How it ended: a signal, an exit code, why it could not be started. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #loading = Promise.withResolvers<Sample[]>();
  readonly #ending = Promise.withResolvers<string>();
  readonly #callOffLoading: () => void;
  #batch: Batch | undefined;
  #hasEnded = false;
  #nextId = 0;

  /** @param loadLimitMs loading that takes longer counts as a hang. */
  constructor(model: Omit<LoadCrossEncoder, 'type'>, loadLimitMs: number) {
    this.loaded = this.#loading.promise;
    this.ended = this.#ending.promise;
    this.loaded.catch(() => undefined); // whoever needs it awaits it
    this.#child = fork(CHILD, [], {
      serialization: 'advanced',
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#callOffLoading = startHangTimer(loadLimitMs, () => {
      this.#loading.reject(new AppError('model_damaged', 'The reranker did not load in time.'));
      this.#child.kill('SIGKILL');
    });
    this.#child.on('message', (message: FromChild) => this.#onMessage(message));
    this.#child.on('exit', (code, signal) => this.#onEnd(signal ?? `exit code ${code}`));
    this.#child.on('error', (error) => {
      // Without a process there is no exit; other errors are writes to one that has just ended.
      if (this.pid === undefined) this.#onEnd(`cannot be started: ${error.message}`);
    });
    this.#send({ type: 'load', ...model });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * One batch at a time.
   * @returns one number a passage, the higher the better.
   * @param hangMs a batch that takes longer counts as a hang, and the process is killed.
   * @throws Error that says what went wrong, without texts.
   */
  score(query: string, passages: string[], hangMs: number): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      if (this.#hasEnded || this.#batch) return reject(new Error('its process is not ready'));
      const id = this.#nextId++;
      const callOff = startHangTimer(hangMs, () => this.#child.kill('SIGKILL'));
      this.#batch = { id, resolve, reject, callOff };
      this.#send({ type: 'score', id, query, passages });
    });
  }

  /** Resolves once the process has ended. It holds nothing that needs saving. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  #onMessage(message: FromChild): void {
    switch (message.type) {
      case 'loaded':
        this.#callOffLoading();
        return this.#loading.resolve(message.samples);
      case 'load_failed':
        return this.#loading.reject(new AppError(message.code, message.message));
      case 'scored':
        return this.#takeBatch(message.id)?.resolve(message.logits);
      case 'score_failed':
        return this.#takeBatch(message.id)?.reject(new Error(message.message));
    }
  }

  #takeBatch(id: number | undefined): Batch | undefined {
    const batch = this.#batch;
    if (!batch || batch.id !== id) return undefined;
    batch.callOff();
    this.#batch = undefined;
    return batch;
  }

  #onEnd(how: string): void {
    this.#hasEnded = true;
    this.#callOffLoading();
    // Told first, so that whoever hears of a lost batch finds the next process on its way.
    this.#ending.resolve(how);
    this.#loading.reject(
      new AppError('process_failed', `The reranker's process ended while it loaded (${how}).`),
    );
    this.#takeBatch(this.#batch?.id)?.reject(new Error(`its process ended (${how})`));
  }

  #send(message: ToChild): void {
    // A child that has just died fails its batch by its exit, not by this write.
    this.#child.send(message, () => undefined);
  }
}
