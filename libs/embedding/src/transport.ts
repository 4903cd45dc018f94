import type { EmbedReplyMeta } from '@embergate/contracts/embed-job.ts';
import type { Heartbeat, Lane, TierName } from '@embergate/contracts/tiers.ts';

export interface SendRequest {
  /** Default: a new one. Queries name the job that was admitted. */
  jobId?: string;
  tier: TierName;
  lane: Lane;
  /** Id of the space that the token ids were made for. */
  space: string;
  /** One entry a text. */
  inputs: readonly Uint32Array[];
  /** The same texts, prompted and uncut; the remote tier needs them, and to others they are not sent. */
  texts?: readonly string[] | undefined;
  /** From now, in milliseconds. */
  deadlineMs: number;
  signal?: AbortSignal | undefined;
}

/** A reply whose status is ok. */
export interface EmbedAnswer {
  meta: Extract<EmbedReplyMeta, { status: 'ok' }>;
  /** count x dimensions, row by row. */
  vectors: Float32Array;
}

/** The way from whoever has texts to the workers of a tier. */
export interface EmbedTransport {
  /**
   * @throws AppError `queue_down` when the queue is away, `deadline_exceeded` when no answer came in time, or the worker's
   * own code; the signal's reason once it is aborted.
   */
  send: (request: SendRequest) => Promise<EmbedAnswer>;
}

/** The workers that live. */
export interface WorkerView {
  living: () => readonly Heartbeat[];
  /** Those that were heard of in the last minute and are silent now. */
  silent: () => readonly Heartbeat[];
  /** False while the queue has been silent for too long to know who lives. */
  isKnown: () => boolean;
}
