import type { Lane } from '@embergate/contracts/tiers.ts';

export interface SubmitOptions {
  lane: Lane;
  /** When nobody waits for the answer any more, in the time of performance.now(). */
  deadline?: number | undefined;
  /** One entry a text, where the model reads these and not the token ids. */
  texts?: readonly string[] | undefined;
}

export interface BatchedVectors {
  /** inputs.length x dimensions, in the order of the inputs. */
  vectors: Float32Array;
  /** From submission to the start of the first batch that held one of its texts. */
  queueMs: number;
  /** Sum over the batches that held its texts. */
  inferenceMs: number;
}

/** One text on its way to its vector. */
export interface Item {
  readonly ids: Uint32Array;
  /** What the ids stand for, where the model reads that. */
  readonly text: string | undefined;
  readonly request: EmbedRequest;
  /** Its place among the request's texts. */
  readonly index: number;
  /** How often it ended the model's process while it was alone with it. */
  kills: number;
  /** The process has ended with it once, perhaps because of another text: next time it is alone. */
  isSuspect: boolean;
}

/**
 * The texts of one caller, and what has become of them.
 *
 *   waiting --last vector--> answered
 *      |--deadline, failure of one text--> failed
 */
export class EmbedRequest {
  readonly items: readonly Item[];
  readonly answer: Promise<BatchedVectors>;
  readonly #options: SubmitOptions;
  readonly #settle = Promise.withResolvers<BatchedVectors>();
  readonly #vectors: Float32Array;
  /** In the time of performance.now(). */
  readonly submittedAt = performance.now();
  #startedAt: number | undefined;
  #inferenceMs = 0;
  #missing: number;

  constructor(inputs: readonly Uint32Array[], dimensions: number, options: SubmitOptions) {
    this.#options = options;
    this.#missing = inputs.length;
    this.#vectors = new Float32Array(inputs.length * dimensions);
    this.items = inputs.map((ids, index) => {
      const text = options.texts?.[index];
      return { ids, text, request: this, index, kills: 0, isSuspect: false };
    });
    this.answer = this.#settle.promise;
  }

  get lane(): Lane {
    return this.#options.lane;
  }

  /** Nobody waits for it any more. */
  get isLate(): boolean {
    const { deadline = Infinity } = this.#options;
    return performance.now() >= deadline;
  }

  /** A batch with some of its texts begins. */
  begin(): void {
    this.#startedAt ??= performance.now();
  }

  /** Such a batch is done, after so many milliseconds. */
  spend(ms: number): void {
    this.#inferenceMs += ms;
  }

  /** @returns true once it has all its vectors, and its caller the answer. */
  deliver(index: number, vector: Float32Array): boolean {
    this.#vectors.set(vector, index * vector.length);
    this.#missing -= 1;
    if (this.#missing > 0) return false;
    const queueMs = (this.#startedAt ?? this.submittedAt) - this.submittedAt;
    this.#settle.resolve({ vectors: this.#vectors, queueMs, inferenceMs: this.#inferenceMs });
    return true;
  }

  fail(error: unknown): void {
    this.#settle.reject(error);
  }
}
