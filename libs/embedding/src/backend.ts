import { AppError } from '@embergate/contracts/errors.ts';
import type { Lane } from '@embergate/contracts/tiers.ts';

export interface EmbedOptions {
  /** A batch, or a part of it, that takes longer, in milliseconds, counts as a hang: whatever computes it is replaced. */
  hangMs?: number;
  /** Default: `query`. */
  lane?: Lane;
  /** What the token ids stand for, prompts included, one entry a text: for a model that reads no ids of ours. */
  texts?: readonly string[] | undefined;
}

export interface Embedded {
  /** batch.length x dimensions, row by row. */
  vectors: Float32Array;
  /** Milliseconds that the batch was computed, without those in which others had their turn. */
  ms: number;
}

/**
 * Runs the model on token ids. One batch at a time: the caller waits for one before it sends the next, but for the bulk batches that may
 * be with it beside one of queries.
 */
export interface EmbeddingBackend {
  /** Where the model's matrix work really runs: `cpu`, `cuda`, `webgpu`. */
  readonly device: string;
  readonly dimensions: number;
  /** False while the model is away, because its process ended and the next one loads it. */
  readonly isReady: boolean;
  /**
   * Why the model is away, where it may be for long: queries are not kept waiting then, so that their senders go elsewhere.
   * Undefined where it is there, or will soon be.
   */
  readonly whyAway?: AppError | undefined;
  /** Bulk batches that may be with it beside queries: computed between their parts, or at the same time. 0: bulk work and queries take turns. */
  readonly bulkBeside: number;
  /** No batch shares its process with one of those: a bulk batch that ends a process has done it alone, and to no query. */
  readonly isolatesBulk: boolean;
  /** The texts of a batch are padded to its longest. */
  readonly pads: boolean;
  /** What a batch costs, in tokens: those that are padded to, or those that have not been computed before. */
  computedTokens(batch: readonly Uint32Array[]): number;
  /**
   * Resolves once the model is there.
   * @throws AppError `shutting_down` after close().
   */
  whenReady(): Promise<void>;
  /**
   * Waits for the model where it is away.
   * @param batch token ids, one entry a text, none empty.
   * @throws AppError `embedding_failed`: the model said that it cannot compute the batch, or, with `details.childEnded`, its
   * process ended in the middle of it, or, with `details.isAway`, it went away and says nothing of the texts; the backend recovers by
   * itself. `shutting_down` after close().
   */
  embed(batch: readonly Uint32Array[], options?: EmbedOptions): Promise<Embedded>;
  close(): Promise<void>;
}

/** The model failed on a batch: another batch, or a part of this one, may succeed. */
export const isModelFailure = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'embedding_failed';

/** The model went away with the batch, and not because of it. */
export const wentAway = (error: unknown): boolean =>
  isModelFailure(error) && error.details['isAway'] === true;

/** The batch took the model's process with it: a crash, an out-of-memory kill, a hang. */
export const hasEndedChild = (error: unknown): boolean =>
  isModelFailure(error) && error.details['childEnded'] === true;
