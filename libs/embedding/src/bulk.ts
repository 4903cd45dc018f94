import type { EmbedTransport, SendRequest } from './transport.ts';

/** One job of the bulk lane: large enough that the queue costs nothing beside the model, small enough to be lost without pain. */
const JOB_MAX_TEXTS = 64;
const JOB_MAX_TOKENS = 8_192;
/** Jobs under way at once: enough that a worker never waits for the next one. */
const WINDOW = 3;

/** Cuts texts into jobs, in the order given. */
export function packJobs(inputs: readonly Uint32Array[]): Uint32Array[][] {
  const jobs: Uint32Array[][] = [];
  let job: Uint32Array[] = [];
  let tokens = 0;
  for (const ids of inputs) {
    if (job.length > 0 && (job.length === JOB_MAX_TEXTS || tokens + ids.length > JOB_MAX_TOKENS)) {
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

/**
 * Embeds any number of texts with a bounded number of jobs under way.
 * @returns one vector a text, in the order given.
 * @throws what the transport throws; the other jobs are aborted then.
 */
export async function embedMany(
  transport: EmbedTransport,
  request: Omit<SendRequest, 'lane'> & { lane?: SendRequest['lane'] },
): Promise<Float32Array[]> {
  const jobs = packJobs(request.inputs);
  const answers: Float32Array[][] = [];
  const failed = new AbortController();
  const signal = request.signal ? AbortSignal.any([request.signal, failed.signal]) : failed.signal;
  let next = 0;
  const sendInTurn = async (): Promise<void> => {
    for (let index = next++; index < jobs.length; index = next++) {
      const inputs = jobs[index] ?? [];
      const { vectors, meta } = await transport.send({ ...request, lane: request.lane ?? 'bulk', inputs, signal });
      answers[index] = inputs.map((_, row) => vectors.subarray(row * meta.dimensions, (row + 1) * meta.dimensions));
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(WINDOW, jobs.length) }, sendInTurn));
  } catch (error) {
    failed.abort(error);
    throw error;
  }
  return answers.flat();
}
