import { decodeTokenIds, type EmbedJob, type EmbedReply } from '@embergate/contracts/embed-job.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import { LANES, type Heartbeat, type TierName } from '@embergate/contracts/tiers.ts';
import { OnnxBackend } from '@embergate/embedding-onnx/onnx-backend.ts';
import { Batcher } from '@embergate/embedding/batcher.ts';
import { warmUp } from '@embergate/embedding/fit.ts';
import { findModel, verifyModel, type InstalledModel } from '@embergate/models/installed-model.ts';
import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { EmbedReceiver } from '@embergate/queue/embed-receiver.ts';
import { HeartbeatSource } from '@embergate/queue/heartbeats.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import { randomUUID } from 'node:crypto';
import { chooseDevice } from './device.ts';

export interface WorkerParts {
  log: Logger;
  lifecycle: Lifecycle;
  redisUrl: string;
  model: string;
  modelDir: string;
  tier: TierName;
  device: 'auto' | 'cuda' | 'webgpu' | 'cpu';
}

/** About twice what one batch holds: the next batch is here when the last one ends, and no job is hoarded. */
const JOBS_AT_A_TIME = { query: 64, bulk: 3 } as const;

/** Starts a worker: says "starting" first, takes jobs once the model has run. */
export async function composeWorker(
  parts: WorkerParts,
): Promise<{ workerId: string; childPid: number | undefined }> {
  const { log, lifecycle, tier } = parts;
  const device = chooseDevice(tier, parts.device, log);
  const model = await findModel(parts.model, { modelDir: parts.modelDir });

  const redis = await connectRedis({ url: parts.redisUrl, patience: 'patient', log });
  lifecycle.onClose('redis', () => redis.disconnect());
  const clock = new RedisClock(redis);
  await clock.start();
  lifecycle.onClose('clock', () => clock.stop());

  const workerId = `${tier}-${randomUUID()}`;
  const beat: Omit<Heartbeat, 'at'> = {
    workerId,
    tier,
    state: 'starting',
    space: spaceId(model.space),
    model: model.name,
    variant: model.variant,
    device,
    fit: null,
    tokensPerSecond: 0,
  };
  const heartbeats = new HeartbeatSource(redis, clock, () => beat);
  await heartbeats.start();
  lifecycle.onClose('heartbeats', () => heartbeats.stop());

  await verifyModel(model);
  const { onnxPath, padTokenId, space, maxTokens } = model;
  const backend = await OnnxBackend.create({
    onnxPath,
    dimensions: space.dimensions,
    padTokenId,
    log,
    // Without its model this worker takes no queries, and gateways hear of it at once.
    onAvailable: (available) => {
      beat.state = available ? 'ready' : 'starting';
      heartbeats.beat().catch(() => undefined);
    },
  });
  lifecycle.onClose('backend', () => backend.close());
  const fit = await warmUp(backend, maxTokens);
  log.info({ fit, device: backend.device, model: model.name, childPid: backend.childPid }, 'model ready');

  const batcher = new Batcher({
    backend,
    fit,
    onBatch: ({ paddedTokens, ms }) => (beat.tokensPerSecond = (paddedTokens / ms) * 1_000),
  });
  const handler = embedHandler({ batcher, model, beat });
  const receivers = LANES.map((lane) => {
    const concurrency = JOBS_AT_A_TIME[lane];
    const receiver = new EmbedReceiver({ redis, clock, tier, lane, concurrency, handler, log });
    lifecycle.onClose(`${lane} lane`, () => receiver.close());
    return receiver;
  });
  // The lanes, released last, wait for the answers to what they have taken.
  lifecycle.onClose('batcher', () => batcher.close());
  lifecycle.onClose('intake', () => Promise.all(receivers.map((receiver) => receiver.pause())));
  beat.state = 'ready';
  beat.fit = fit;
  beat.device = backend.device;
  await heartbeats.beat();
  lifecycle.onClose('draining', () => {
    beat.state = 'draining';
    heartbeats.beat().catch(() => undefined);
  });
  return { workerId, childPid: backend.childPid };
}

interface HandlerParts {
  batcher: Batcher;
  model: InstalledModel;
  beat: Omit<Heartbeat, 'at'>;
}

const embedHandler =
  ({ batcher, model, beat }: HandlerParts) =>
  async (job: EmbedJob, lane: (typeof LANES)[number]): Promise<EmbedReply> => {
    if (job.space !== beat.space) {
      throw new AppError(
        'space_mismatch',
        `This worker embeds in ${beat.space}, the job wants ${job.space}.`,
      );
    }
    const inputs = job.inputs.map(decodeTokenIds);
    if (inputs.some((ids) => ids.length === 0 || ids.length > model.maxTokens)) {
      throw new AppError('invalid_request', `A text must have 1 to ${model.maxTokens} tokens.`);
    }
    const { vectors, queueMs, inferenceMs } = await batcher.submit(inputs, lane);
    return {
      meta: {
        status: 'ok',
        id: job.id,
        count: inputs.length,
        dimensions: model.space.dimensions,
        workerId: beat.workerId,
        tier: beat.tier,
        variant: beat.variant,
        device: beat.device,
        queueMs,
        inferenceMs,
      },
      vectors,
    };
  };
