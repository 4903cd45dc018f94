import { AppError } from '@embergate/contracts/errors.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { AlignmentFloors } from '@embergate/embedding/alignment.ts';
import type { EmbeddingBackend } from '@embergate/embedding/backend.ts';
import { Batcher, type BatcherOptions, type StartedBatch } from '@embergate/embedding/batcher.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { Admissions } from '@embergate/queue/admissions.ts';
import { AlignmentReferences } from '@embergate/queue/alignment-references.ts';
import { connectRedis, type Redis } from '@embergate/queue/connection.ts';
import { EmbedReceiver } from '@embergate/queue/embed-receiver.ts';
import { HeartbeatSource } from '@embergate/queue/heartbeats.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import { predictMs, type LiveFit } from '@embergate/routing/fit.ts';
import { randomUUID } from 'node:crypto';
import { AlignmentCheck } from './alignment-check.ts';
import { embedHandler, type EmbedHandlerParts } from './embed-handler.ts';
import { WorkerReport } from './worker-report.ts';

/** What every worker is given, wherever its model runs. */
export interface ProcessParts {
  log: Logger;
  lifecycle: Lifecycle;
  redisUrl: string;
  /** Below them this worker takes no work. */
  alignmentFloors: AlignmentFloors;
}

/** What a worker is from its first word on. */
interface Announced {
  redis: Redis;
  /** The time that deadlines are in. */
  clock: RedisClock;
  identity: { workerId: string; tier: TierName; space: string; variant: string };
  report: WorkerReport;
  heartbeats: HeartbeatSource;
  /** Without its model a worker takes no queries, and gateways hear of it at once. */
  onAvailable: (isReady: boolean) => void;
}

/** Connects a worker to the queue, where it says from now on that it is there, and starting. */
export async function announceWorker(
  { log, lifecycle, redisUrl }: ProcessParts,
  { tier, variant, model }: { tier: TierName; variant: string; model: InstalledModel },
): Promise<Announced> {
  const redis = await connectRedis({ url: redisUrl, patience: 'patient', log });
  lifecycle.onClose('redis', () => redis.disconnect());
  const clock = new RedisClock(redis);
  await clock.start();
  lifecycle.onClose('clock', () => clock.stop());
  const identity = { workerId: `${tier}-${randomUUID()}`, tier, space: spaceId(model.space), variant };
  const report = new WorkerReport({ ...identity, model: model.name });
  const heartbeats = new HeartbeatSource(redis, clock, () => report.describe());
  await heartbeats.start();
  lifecycle.onClose('heartbeats', () => heartbeats.stop());
  const onAvailable = (isReady: boolean): void => {
    report.setModelReady(isReady);
    heartbeats.beat().catch(() => undefined);
  };
  return { redis, clock, identity, report, heartbeats, onAvailable };
}

export interface LanesParts extends Pick<ProcessParts, 'log' | 'lifecycle' | 'alignmentFloors'> {
  redis: Redis;
  clock: RedisClock;
  heartbeats: HeartbeatSource;
  report: WorkerReport;
  model: InstalledModel;
  worker: EmbedHandlerParts['worker'];
  /** It has run. */
  backend: EmbeddingBackend;
  fit: LiveFit;
  /** Bounds of bulk batches; default: those of a model on this machine. */
  bulk?: Pick<BatcherOptions, 'bulkBatchMs' | 'bulkBatchTokens'>;
}

const BULK_JOBS_AT_A_TIME = 3;
/** Shorter batches are over before anybody could reckon with them. */
const TOLD_BATCH_MS = 20;
const LOOK_MS = 200;
/** An idle worker measures itself for one part in so many of its time. */
const PROBE_REST = 20;
/** Measured this much slower than at the start, an idle worker looks whether it still is. */
const SLOW_LEVEL = 1.25;

/** Takes the jobs of a worker's lanes, batches them for its model, and says how it is, until the process stops. */
export async function serveLanes(parts: LanesParts): Promise<void> {
  const { log, lifecycle, redis, clock, heartbeats, report, model, worker, backend, fit } = parts;
  const { workerId, tier } = worker;
  const admissions = new Admissions(redis, worker.space);
  let isTold = false;
  const tell = (batch: StartedBatch | null): void => {
    const isLong = batch !== null && batch.predictedMs >= TOLD_BATCH_MS;
    if (!isLong && !isTold) return;
    isTold = isLong;
    const told = isLong ? { endsAt: clock.now() + batch.predictedMs, queryTokens: batch.queryTokens } : null;
    admissions.setBatch(tier, workerId, told).catch(() => undefined);
  };
  const batcher = new Batcher({
    ...parts.bulk,
    backend,
    fit,
    onBatchStart: tell,
    onBatch: (batch) => {
      report.addBatch(batch);
      log.debug(batch, 'batch computed');
    },
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
  lifecycle.onClose('alignment check', () => alignment.stop());
  await alignment.start();
  // Stopped meanwhile: the model has gone, and nothing that begins now would be released.
  if (lifecycle.isClosing) throw new AppError('shutting_down', 'This worker is stopping.');
  const handler = embedHandler({ batcher, model, worker, isAligned: () => report.isAligned, clock });
  const lane = (name: 'query' | 'bulk', concurrency: number): EmbedReceiver => {
    const receiver = new EmbedReceiver({
      redis,
      clock,
      space: worker.space,
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
  report.setModelReady(backend.isReady); // it may have gone again meanwhile
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
}
