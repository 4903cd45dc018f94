/** What the supervisor and its inference child say to each other (Node's IPC, structured clone). */
export interface LoadModel {
  type: 'load';
  onnxPath: string;
  dimensions: number;
  padTokenId: number;
  threads: number;
}

export interface RunBatch {
  type: 'run';
  id: number;
  /** All token ids, text after text. */
  ids: Uint32Array;
  lengths: Uint32Array;
}

export type ToChild = LoadModel | RunBatch;

export type FromChild =
  | { type: 'loaded'; device: string }
  | { type: 'load_failed'; message: string }
  | { type: 'vectors'; id: number; vectors: Float32Array }
  | { type: 'run_failed'; id: number; message: string };
