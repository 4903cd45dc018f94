import { AppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import type { Lane } from '@embergate/contracts/tiers.ts';
import type { Embedded } from '@embergate/embedding/backend.ts';
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { startHangTimer } from '@embergate/platform/hang-timer.ts';
import type { FromChild, LoadModel, ToChild } from './protocol.ts';

const CHILD = fileURLToPath(new URL('./inference-child.ts', import.meta.url));

export interface InferenceProcessOptions {
  model: Omit<LoadModel, 'type'>;
  /** Loading that takes longer, in milliseconds, counts as a hang. */
  loadLimitMs: number;
  /** Told before the process is killed because it hangs. */
  onHang: (doing: 'load' | 'batch', limitMs: number) => void;
}

export interface Ending {
  /** A signal, an exit code, why it could not be started. */
  how: string;
  /** It had a batch in hand. */
  inBatch: boolean;
}

interface Run {
  resolve: (embedded: Embedded) => void;
  reject: (error: AppError) => void;
  hangMs: number;
  callOff: () => void;
}

/**
 * One inference child, from its start to its end.
 *
 *   loading --loaded--> ready --killed, crashed, hung--> ended
 *      \--cannot load, killed, hung--> ended
 */
export class InferenceProcess {
  /**
   * Where the model's matrix work was seen to run, for people, once it is loaded.
   * @throws AppError `model_damaged`, `device_unavailable`; `embedding_failed` when the process has ended.
   */
  readonly loaded: Promise<string>;
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #options: InferenceProcessOptions;
  readonly #loading = Promise.withResolvers<string>();
  readonly #ending = Promise.withResolvers<Ending>();
  readonly #runs = new Map<number, Run>();
  readonly #callOffLoading: () => void;
  #whyNotLoaded: AppError | undefined;
  #hasEnded = false;
  #nextId = 0;

  /** @throws what fork() throws, where there is no memory for another process. */
  constructor(options: InferenceProcessOptions) {
    this.#options = options;
    this.loaded = this.#loading.promise;
    this.ended = this.#ending.promise;
    // The word is for people who look at the list of processes.
    this.#child = fork(CHILD, options.model.isBackground ? ['bulk'] : [], {
      serialization: 'advanced',
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#callOffLoading = startHangTimer(options.loadLimitMs, () => {
      this.#whyNotLoaded = new AppError(
        this.#loadFailure('model_damaged'),
        'The model did not load in time.',
      );
      this.#replaceHung('load', options.loadLimitMs);
    });
    this.#child.on('message', (message: FromChild) => this.#onMessage(message));
    this.#child.on('exit', (code, signal) => this.#onEnd(signal ?? `exit code ${code}`));
    this.#child.on('error', (error) => {
      // Without a process there is no exit; other errors are writes to one that has just ended.
      if (this.pid === undefined) this.#onEnd(`cannot be started: ${error.message}`);
    });
    this.#send({ type: 'load', ...options.model });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * @param hangMs a batch, or a part of one, that takes longer counts as a hang, and the process is killed.
   * @throws AppError `embedding_failed`, with `details.childEnded` where the process ended.
   */
  run(batch: readonly Uint32Array[], { lane, hangMs }: { lane: Lane; hangMs: number }): Promise<Embedded> {
    const lengths = Uint32Array.from(batch, (ids) => ids.length);
    const ids = new Uint32Array(lengths.reduce((sum, length) => sum + length, 0));
    let at = 0;
    for (const text of batch) {
      ids.set(text, at);
      at += text.length;
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      if (this.#hasEnded) return reject(endedInBatch('before the batch began'));
      this.#runs.set(id, { resolve, reject, hangMs, callOff: this.#watch(hangMs) });
      this.#send({ type: 'run', id, lane, ids, lengths });
    });
  }

  /** Resolves once the process has ended. It holds nothing that needs saving, and may be in the middle of a long batch. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  #onMessage(message: FromChild): void {
    switch (message.type) {
      case 'loaded':
        this.#callOffLoading();
        this.#loading.resolve(message.proof);
        break;
      case 'load_failed':
        // It ends by itself then.
        this.#whyNotLoaded = new AppError(message.code, message.message);
        break;
      case 'part_done':
        this.#watchAnew();
        break;
      case 'vectors':
        this.#takeRun(message.id)?.resolve({ vectors: message.vectors, ms: message.ms });
        break;
      case 'run_failed':
        this.#takeRun(message.id)?.reject(
          new AppError('embedding_failed', `The model could not embed the batch: ${message.message}`),
        );
    }
  }

  #takeRun(id: number): Run | undefined {
    const run = this.#runs.get(id);
    run?.callOff();
    this.#runs.delete(id);
    this.#watchAnew();
    return run;
  }

  /** Whatever the child has done, it does not hang: what others waited for that is over. */
  #watchAnew(): void {
    for (const run of this.#runs.values()) {
      run.callOff();
      run.callOff = this.#watch(run.hangMs);
    }
  }

  #watch(hangMs: number): () => void {
    return startHangTimer(hangMs, () => this.#replaceHung('batch', hangMs));
  }

  #replaceHung(doing: 'load' | 'batch', limitMs: number): void {
    this.#options.onHang(doing, limitMs);
    this.#child.kill('SIGKILL');
  }

  #onEnd(how: string): void {
    this.#hasEnded = true;
    this.#callOffLoading();
    // Told first, so that whoever hears of a lost batch finds the next process on its way.
    this.#ending.resolve({ how, inBatch: this.#runs.size > 0 });
    this.#loading.reject(
      this.#whyNotLoaded ??
        new AppError(
          this.#loadFailure('embedding_failed'),
          `The inference process ended while it loaded the model (${how}).`,
        ),
    );
    for (const id of [...this.#runs.keys()]) this.#takeRun(id)?.reject(endedInBatch(how));
  }

  /** A GPU's driver may take the process with it, or never come back. */
  #loadFailure(onCpu: ErrorCode): ErrorCode {
    return this.#options.model.device === 'cpu' ? onCpu : 'device_unavailable';
  }

  #send(message: ToChild): void {
    // A child that has just died fails its batch by its exit, not by this write.
    this.#child.send(message, () => undefined);
  }
}

const endedInBatch = (how: string): AppError =>
  new AppError('embedding_failed', `The inference process ended (${how}).`, {
    details: { childEnded: true },
  });
