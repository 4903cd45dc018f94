import type { AppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import type { OpenChunkSource } from './chunk-source.ts';
import type { ProgressListener } from './run-progress.ts';

/** What embeds texts in one space. */
export interface SpaceEmbedding {
  space: EmbeddingSpace;
  tokenize: (text: string) => Uint32Array;
  /**
   * One entry a text, in order: its vector, or why the model refuses this text and no other. Waits for as long as it takes, until the
   * signal aborts.
   */
  embed: (inputs: Uint32Array[], options: EmbedOptions) => Promise<(Float32Array | AppError)[]>;
}

export interface IndexRunParts extends SpaceEmbedding {
  store: VectorStore;
  /** That of the collection's second space, where it carries one. */
  second: SpaceEmbedding | null;
}

export interface EmbedOptions {
  /** What the inputs stand for, in the same order, without the model's prompt. */
  texts: readonly string[];
  signal: AbortSignal;
  /** Told as parts of the texts are done. */
  onEmbedded: (inputs: readonly Uint32Array[]) => void;
}

/** A text, and the vector that somebody else made of it. */
export interface VectorSample {
  path: string;
  text: string;
  vector: Float32Array;
}

export interface IndexRunRequest {
  /** Also the job's id: a run that is picked up again goes on under the same one. */
  runId: string;
  collection: string;
  repo: string;
  openSource: OpenChunkSource;
  commit: string | null;
  mode: 'incremental' | 'full';
  signal: AbortSignal;
  onProgress: ProgressListener;
  /**
   * Asked before a run of vectors that were made elsewhere is published, with some of them. What it throws ends the run.
   */
  checkVectors?: (sample: readonly VectorSample[]) => Promise<void>;
}
