import type { Heartbeat } from '@embergate/contracts/tiers.ts';
import { tokensWithin } from '@embergate/routing/fit.ts';
import pLimit from 'p-limit';
import type { BulkSend } from './bulk-transport.ts';
import type { EmbedAnswer } from './transport.ts';

/** One job of the bulk lane: large enough that the queue costs nothing beside the model, small enough to be lost without pain. */
const JOB_MAX_TEXTS = 64;
const JOB_MAX_TOKENS = 8_192;
/** What a job takes of a slow worker's time at most, where it can be cut so small. */
const JOB_MS = 20_000;
/** Jobs under way at once: enough that a worker never waits for the next one, few enough that it hoards none. */
const WINDOW = 4;

/** Bounds the jobs under way; first come, first served. */
export type JobWindow = ReturnType<typeof pLimit>;
export const createJobWindow = (): JobWindow => pLimit(WINDOW);

/** Cuts texts into jobs, in the order given; one text at least in each. */
export function packJobs(inputs: readonly Uint32Array[], mostTokens = JOB_MAX_TOKENS): Uint32Array[][] {
  const jobs: Uint32Array[][] = [];
  let job: Uint32Array[] = [];
  let tokens = 0;
  for (const ids of inputs) {
    if (job.length > 0 && (job.length === JOB_MAX_TEXTS || tokens + ids.length > mostTokens)) {
      jobs.push(job);
      job = [];
      tokens = 0;
    }
    job.push(ids);
    tokens += ids.length;
  }
  if (job.length > 0) jobs.push(job);
  return jobs;
}

/** Tokens of a job that none of these workers computes for longer than {@link JOB_MS}: a large model's job can be lost without pain, too. */
export function jobTokensFor(workers: readonly Pick<Heartbeat, 'fit'>[]): number {
  const within = workers.map(({ fit }) => (fit ? tokensWithin(fit, JOB_MS) : Infinity));
  return Math.max(1, Math.min(JOB_MAX_TOKENS, ...within));
}

export interface BulkRequest {
  /** Id of the space that the token ids were made for. */
  space: string;
  /** One entry a text. */
  inputs: readonly Uint32Array[];
  /** The same texts, for a tier that reads those. */
  texts?: readonly string[] | undefined;
  /** Of each job, in milliseconds. */
  deadlineMs: number;
  signal?: AbortSignal | undefined;
  /** Tokens of one job at most, at least one text; default: what costs the queue nothing beside a fast model. */
  jobTokens?: number;
  /** Shared by calls that shall not crowd each other out; default: one of its own. */
  window?: JobWindow;
  /** Told as parts of the texts are done, and by whom. */
  onEmbedded?: (inputs: readonly Uint32Array[], by: EmbedAnswer['meta']) => void;
}

/**
 * Embeds any number of texts with a bounded number of jobs under way.
 * @returns one vector a text, in the order given.
 * @throws what `sendJob` throws; the other jobs are aborted then.
 */
export async function embedMany(sendJob: BulkSend, request: BulkRequest): Promise<Float32Array[]> {
  const { space, deadlineMs, window = createJobWindow() } = request;
  const failed = new AbortController();
  const signal = request.signal ? AbortSignal.any([request.signal, failed.signal]) : failed.signal;
  const send = async (inputs: Uint32Array[], texts?: readonly string[]): Promise<Float32Array[]> => {
    const { vectors, meta } = await sendJob({ space, deadlineMs, inputs, texts, signal });
    request.onEmbedded?.(inputs, meta);
    return inputs.map((_, row) => vectors.subarray(row * meta.dimensions, (row + 1) * meta.dimensions));
  };
  try {
    let at = 0;
    const sending = packJobs(request.inputs, request.jobTokens).map((job) => {
      const texts = request.texts?.slice(at, (at += job.length));
      return window(() => send(job, texts));
    });
    return (await Promise.all(sending)).flat();
  } catch (error) {
    failed.abort(error);
    throw error;
  }
}
