import { spaceId } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { OnnxBackend } from '@embergate/embedding-onnx/onnx-backend.ts';
import type { AlignmentFloors } from '@embergate/embedding/alignment.ts';
import { Batcher, type StartedBatch } from '@embergate/embedding/batcher.ts';
import { withVectorsOf } from '@embergate/embedding/matryoshka.ts';
import { warmUp } from '@embergate/embedding/warm-up.ts';
import { findModel, verifyModel } from '@embergate/models/installed-model.ts';
import { isDecoder, promptPrefixes } from '@embergate/models/prompt-prefixes.ts';
import { TOKEN_NODES } from '@embergate/models/qwen2-graph.ts';
import { loadTokenizer } from '@embergate/models/tokenizer.ts';
import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { Admissions } from '@embergate/queue/admissions.ts';
import { AlignmentReferences } from '@embergate/queue/alignment-references.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { EmbedReceiver } from '@embergate/queue/embed-receiver.ts';
import { HeartbeatSource } from '@embergate/queue/heartbeats.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import { LiveFit, predictMs } from '@embergate/routing/fit.ts';
import { randomUUID } from 'node:crypto';
import { AlignmentCheck } from './alignment-check.ts';
import { openFirst, planDevices, type AskedDevice } from './device.ts';
import { embedHandler } from './embed-handler.ts';
import { WorkerReport } from './worker-report.ts';

export interface WorkerParts {
  log: Logger;
  lifecycle: Lifecycle;
  redisUrl: string;
  model: string;
  /** Of several builds of the model, this one; the device decides where none is named. */
  variant: string | undefined;
  modelDir: string;
  catalogFile: string | undefined;
  /** Fewer than the model makes. */
  dimensions: number | undefined;
  tier: TierName;
  device: AskedDevice;
  /** Below them this worker takes no work. */
  alignmentFloors: AlignmentFloors;
}

const BULK_JOBS_AT_A_TIME = 3;
/** Shorter batches are over before anybody could reckon with them. */
const TOLD_BATCH_MS = 20;
const LOOK_MS = 200;
/** An idle worker measures itself for one part in so many of its time. */
const PROBE_REST = 20;
/** Measured this much slower than at the start, an idle worker looks whether it still is. */
const SLOW_LEVEL = 1.25;

/** Starts a worker: says "starting" first, takes jobs once the model has run. */
export async function composeWorker(
  parts: WorkerParts,
): Promise<{ workerId: string; childPid: number | undefined }> {
  const { log, lifecycle, tier } = parts;
  const plan = planDevices(tier, parts.device, log);
  const { variant, modelDir, catalogFile, dimensions } = parts;
  const model = await findModel(parts.model, {
    variant,
    modelDir,
    catalogFile,
    dimensions,
    device: plan.devices[0] === 'cpu' ? 'cpu' : 'gpu',
  });

  const redis = await connectRedis({ url: parts.redisUrl, patience: 'patient', log });
  lifecycle.onClose('redis', () => redis.disconnect());
  const clock = new RedisClock(redis);
  await clock.start();
  lifecycle.onClose('clock', () => clock.stop());
  const admissions = new Admissions(redis);

  const workerId = `${tier}-${randomUUID()}`;
  const identity = { workerId, tier, space: spaceId(model.space), variant: model.variant };
  const report = new WorkerReport({ ...identity, model: model.name });
  const heartbeats = new HeartbeatSource(redis, clock, () => report.describe());
  await heartbeats.start();
  lifecycle.onClose('heartbeats', () => heartbeats.stop());

  await verifyModel(model);
  const { onnxPath, padTokenId, space, maxTokens, graphDimensions } = model;
  // An encoder has no use for what texts begin with, and a tokenizer takes a while to read.
  const prefixes = isDecoder(space)
    ? promptPrefixes(space, await loadTokenizer(model.tokenizerPath, { maxTokens }))
    : [];
  const { opened: backend, reason } = await openFirst(plan, (device) =>
    OnnxBackend.create({
      onnxPath,
      dimensions: graphDimensions,
      padTokenId,
      isDecoder: isDecoder(space),
      prefixes,
      device,
      nodesOnCpu: isDecoder(space) ? [...TOKEN_NODES] : [],
      mayBeSoftware: plan.mayBeSoftware,
      log,
      // Without its model this worker takes no queries, and gateways hear of it at once.
      onAvailable: (isReady) => {
        report.setModelReady(isReady);
        heartbeats.beat().catch(() => undefined);
      },
    }),
  );
  report.setDevice(backend.device, reason);
  lifecycle.onClose('backend', () => backend.close());
  const fit = new LiveFit(await warmUp(backend, maxTokens));
  const { childPid, device } = backend;
  log.info({ fit: fit.current, device, deviceReason: reason, model: model.name, childPid }, 'model ready');
  const worker = { ...identity, device };

  let isTold = false;
  const tell = (batch: StartedBatch | null): void => {
    const isLong = batch !== null && batch.predictedMs >= TOLD_BATCH_MS;
    if (!isLong && !isTold) return;
    isTold = isLong;
    const told = isLong ? { endsAt: clock.now() + batch.predictedMs, queryTokens: batch.queryTokens } : null;
    admissions.setBatch(tier, workerId, told).catch(() => undefined);
  };
  const batcher = new Batcher({
    backend: withVectorsOf(backend, space.dimensions),
    fit,
    onBatchStart: tell,
    onBatch: (batch) => report.addBatch(batch),
    onIdle: () => tell(null),
  });
  // Before anybody hears that this worker is ready.
  const alignment = new AlignmentCheck({
    references: new AlignmentReferences(redis),
    space: worker.space,
    batcher,
    floors: parts.alignmentFloors,
    onMeasured: (measured, isAligned) => {
      report.setAlignment(measured, isAligned);
      intake();
    },
    log,
  });
  let intake = (): void => undefined;
  await alignment.start();
  lifecycle.onClose('alignment check', () => alignment.stop());
  const handler = embedHandler({ batcher, model, worker, isAligned: () => report.isAligned, clock });
  const lane = (name: 'query' | 'bulk', concurrency: number): EmbedReceiver => {
    const receiver = new EmbedReceiver({
      redis,
      clock,
      tier,
      lane: name,
      concurrency,
      isPaused: !report.isAligned,
      handler,
      log,
    });
    lifecycle.onClose(`${name} lane`, () => receiver.close());
    return receiver;
  };
  report.warm({ batcher, fit });
  const receivers = [lane('query', report.queriesAtATime), lane('bulk', BULK_JOBS_AT_A_TIME)] as const;
  intake = () => {
    for (const receiver of receivers) {
      if (report.isAligned && !lifecycle.isClosing) receiver.resume();
      else void receiver.pause();
    }
    heartbeats.beat().catch(() => undefined);
  };
  // The lanes, released last, wait for the answers to what they have taken.
  lifecycle.onClose('batcher', () => batcher.close());
  lifecycle.onClose('intake', () => Promise.all(receivers.map((receiver) => receiver.pause())));
  await heartbeats.beat();
  let said = report.state;
  let probedAt = -Infinity;
  const look = setInterval(() => {
    receivers[0].setConcurrency(report.queriesAtATime);
    const isProbeDue =
      performance.now() - probedAt > Math.max(1_000, PROBE_REST * predictMs(fit.current, 16));
    if (fit.level > SLOW_LEVEL && batcher.isIdle && isProbeDue) {
      probedAt = performance.now();
      void batcher.probe();
    }
    if (report.state === said) return;
    said = report.state;
    heartbeats.beat().catch(() => undefined);
  }, LOOK_MS);
  lifecycle.onClose('look', () => clearInterval(look));
  lifecycle.onClose('draining', () => {
    report.drain();
    heartbeats.beat().catch(() => undefined);
  });
  return { workerId, childPid };
}
