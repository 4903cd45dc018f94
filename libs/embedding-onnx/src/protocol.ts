import type { Lane } from '@embergate/contracts/tiers.ts';

/** What the supervisor and its inference child say to each other (Node's IPC, structured clone). */
export interface LoadModel {
  type: 'load';
  onnxPath: string;
  dimensions: number;
  padTokenId: number;
  threads: number;
  /** How texts begin again and again, as an even number of token ids each: a model that reads from left to right pays for these once. */
  prefixes: Uint32Array[];
}

export interface RunBatch {
  type: 'run';
  id: number;
  lane: Lane;
  /** All token ids, text after text. */
  ids: Uint32Array;
  lengths: Uint32Array;
}

export type ToChild = LoadModel | RunBatch;

export type FromChild =
  | { type: 'loaded'; device: string }
  | { type: 'load_failed'; message: string }
  /** A part of a batch is done, others may go between: the process does not hang. */
  | { type: 'part_done' }
  /** `ms`: what its own parts took. */
  | { type: 'vectors'; id: number; vectors: Float32Array; ms: number }
  | { type: 'run_failed'; id: number; message: string };
