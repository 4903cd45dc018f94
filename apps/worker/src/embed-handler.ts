import { decodeTokenIds, type EmbedJob, type EmbedReply } from '@embergate/contracts/embed-job.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import type { Heartbeat, Lane } from '@embergate/contracts/tiers.ts';
import type { Batcher } from '@embergate/embedding/batcher.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';

export interface EmbedHandlerParts {
  batcher: Batcher;
  model: InstalledModel;
  worker: Pick<Heartbeat, 'workerId' | 'tier' | 'space' | 'variant' | 'device'>;
  /** False once the model's vectors have turned out not to be those of the collections. */
  isAligned: () => boolean;
  /** The time that deadlines are in. */
  clock: { now: () => number };
}

/** Computes one job. What it throws becomes an error reply. */
export const embedHandler =
  ({ batcher, model, worker, isAligned, clock }: EmbedHandlerParts) =>
  async (job: EmbedJob, lane: Lane): Promise<EmbedReply> => {
    if (job.space !== worker.space) {
      const message = `This worker embeds in ${worker.space}, the job wants ${job.space}.`;
      throw new AppError('space_mismatch', message);
    }
    const inputs = job.inputs.map(decodeTokenIds);
    if (inputs.some((ids) => ids.length === 0 || ids.length > model.maxTokens)) {
      throw new AppError('invalid_request', `A text must have 1 to ${model.maxTokens} tokens.`);
    }
    const { workerId, tier, variant, device } = worker;
    const { texts } = job;
    if (tier === 'remote' && texts?.length !== inputs.length) {
      // The sender's fault, and a worker of another tier can do without.
      throw new AppError(
        'embedding_failed',
        'The job carries no texts, and a remote API reads no token ids.',
      );
    }
    const deadline = performance.now() + (job.deadline - clock.now());
    const { vectors, queueMs, inferenceMs } = await batcher.submit(inputs, { lane, deadline, texts });
    // Taken before it was known; a wrong vector in the index would stay there.
    if (!isAligned()) {
      throw new AppError(
        'worker_misaligned',
        `The vectors of ${worker.workerId} are not those of ${job.space}.`,
      );
    }
    return {
      meta: {
        status: 'ok',
        id: job.id,
        count: inputs.length,
        dimensions: model.space.dimensions,
        workerId,
        tier,
        variant,
        device,
        queueMs,
        inferenceMs,
      },
      vectors,
    };
  };
