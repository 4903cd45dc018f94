import type { ErrorCode } from '@embergate/contracts/errors.ts';
import type { Sample } from '@embergate/routing/fit.ts';

/** What the gateway and its rerank child say to each other (Node's IPC, structured clone). */
export interface LoadCrossEncoder {
  type: 'load';
  onnxPath: string;
  tokenizerPath: string;
  /** Longest pair in tokens, special ones included. */
  maxTokens: number;
  padTokenId: number;
  threads: number;
}

export interface ScorePairs {
  type: 'score';
  id: number;
  query: string;
  passages: string[];
}

export type ToChild = LoadCrossEncoder | ScorePairs;

export type FromChild =
  /** `samples`: what batches of several sizes took. */
  | { type: 'loaded'; samples: Sample[] }
  | { type: 'load_failed'; code: ErrorCode; message: string }
  /** One number a passage. */
  | { type: 'scored'; id: number; logits: Float32Array }
  | { type: 'score_failed'; id: number; message: string };
