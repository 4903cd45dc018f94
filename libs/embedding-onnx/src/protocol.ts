import type { ErrorCode } from '@embergate/contracts/errors.ts';
import type { Lane } from '@embergate/contracts/tiers.ts';
import type { Device } from './devices.ts';

/** What the supervisor and its inference child say to each other (Node's IPC, structured clone). */
export interface LoadModel {
  type: 'load';
  onnxPath: string;
  dimensions: number;
  padTokenId: number;
  threads: number;
  device: Device;
  /** Names of nodes that stay on the CPU beside a GPU: they do no matrix work, and their weights are large. */
  nodesOnCpu: string[];
  /** A software adapter will do where WebGPU finds no GPU. */
  mayBeSoftware: boolean;
  /** Takes what processor time others leave. */
  isBackground: boolean;
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
  /** `proof`: where the model's matrix work was seen to run, for people. */
  | { type: 'loaded'; proof: string }
  | { type: 'load_failed'; code: ErrorCode; message: string }
  /** A part of a batch is done, others may go between: the process does not hang. */
  | { type: 'part_done' }
  /** `ms`: what its own parts took. */
  | { type: 'vectors'; id: number; vectors: Float32Array; ms: number }
  | { type: 'run_failed'; id: number; message: string };
