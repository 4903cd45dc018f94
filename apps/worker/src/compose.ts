import { BulkProcesses } from '@embergate/embedding-onnx/bulk-processes.ts';
import { OnnxBackend, type OnnxBackendOptions } from '@embergate/embedding-onnx/onnx-backend.ts';
import type { EmbeddingBackend } from '@embergate/embedding/backend.ts';
import { withVectorsOf } from '@embergate/embedding/matryoshka.ts';
import { warmUp } from '@embergate/embedding/warm-up.ts';
import { findModel, onnxPathOn, verifyModel } from '@embergate/models/installed-model.ts';
import { isDecoder, promptPrefixes } from '@embergate/models/prompt-prefixes.ts';
import { TOKEN_NODES } from '@embergate/models/qwen2-graph.ts';
import { loadTokenizer } from '@embergate/models/tokenizer.ts';
import { LiveFit } from '@embergate/routing/fit.ts';
import { planBulkProcesses } from './bulk-plan.ts';
import { announceWorker, serveLanes, type ProcessParts } from './compose-lanes.ts';
import { openFirst, planDevices, type AskedDevice, type Device, type LocalTier } from './device.ts';

export interface WorkerParts extends ProcessParts {
  model: string;
  /** Of several builds of the model, this one; the device decides where none is named. */
  variant: string | undefined;
  modelDir: string;
  catalogFile: string | undefined;
  /** Fewer than the model makes. */
  dimensions: number | undefined;
  tier: LocalTier;
  device: AskedDevice;
  /** BULK_PROCESSES. */
  bulkProcesses: number | undefined;
}

/** Half of what threads of several cores take: it stays in the caches of one (docs/benchmarks.md, "Indexing"). */
const ONE_THREAD = { bulkBatchTokens: 512 } as const;

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

  const announced = await announceWorker(parts, { tier, variant: model.variant, model });
  const { identity, report, onAvailable } = announced;

  await verifyModel(model);
  const { padTokenId, space, maxTokens, graphDimensions } = model;
  // An encoder has no use for what texts begin with, and a tokenizer takes a while to read.
  const prefixes = isDecoder(space)
    ? promptPrefixes(space, await loadTokenizer(model.tokenizerPath, { maxTokens }))
    : [];
  const optionsOn = (device: Device): OnnxBackendOptions => ({
    onnxPath: onnxPathOn(device, model),
    dimensions: graphDimensions,
    padTokenId,
    isDecoder: isDecoder(space),
    prefixes,
    device,
    nodesOnCpu: isDecoder(space) ? [...TOKEN_NODES] : [],
    mayBeSoftware: plan.mayBeSoftware,
    log,
  });
  const { opened, reason } = await openFirst(plan, (device) =>
    OnnxBackend.create({ ...optionsOn(device), onAvailable }),
  );
  report.setDevice(opened.device, reason);
  const bulk = planBulkProcesses(parts.bulkProcesses, model);
  const backend = withBulkProcesses(opened, optionsOn(opened.device), bulk);
  lifecycle.onClose('backend', () => backend.close());
  const fit = new LiveFit(await warmUp(backend, maxTokens));
  const { childPid, device } = opened;
  log.info({ fit: fit.current, device, deviceReason: reason, model: model.name, childPid }, 'model ready');
  const worker = { ...identity, device };

  const cut = withVectorsOf(backend, space.dimensions);
  const served = { ...announced, model, worker, backend: cut, fit };
  await serveLanes({ ...parts, ...served, ...(backend !== opened && { bulk: ONE_THREAD }) });
  return { workerId: identity.workerId, childPid };
}

/** A decoder computes bulk work in parts between queries, and a GPU has no use for a second process: they stay as they are. */
function withBulkProcesses(
  queries: OnnxBackend,
  options: OnnxBackendOptions,
  { processes, threads }: ReturnType<typeof planBulkProcesses>,
): EmbeddingBackend {
  const { device, isDecoder: isInParts, log } = options;
  if (device !== 'cpu' || isInParts || processes === 0) return queries;
  const bulkLog = log.child({ process: 'bulk' });
  const start = (): OnnxBackend => new OnnxBackend({ ...options, log: bulkLog, threads, isBackground: true });
  return new BulkProcesses({ queries, start, processes, log: bulkLog });
}
