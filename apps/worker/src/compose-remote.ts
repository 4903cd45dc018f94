import { AppError } from '@embergate/contracts/errors.ts';
import { RemoteBackend } from '@embergate/embedding-remote/remote-backend.ts';
import { isModelFailure } from '@embergate/embedding/backend.ts';
import { withVectorsOf } from '@embergate/embedding/matryoshka.ts';
import { warmUp } from '@embergate/embedding/warm-up.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer } from '@embergate/models/tokenizer.ts';
import { LiveFit, type Fit } from '@embergate/routing/fit.ts';
import { setTimeout as wait } from 'node:timers/promises';
import { announceWorker, serveLanes, type ProcessParts } from './compose-lanes.ts';

export interface RemoteWorkerParts extends ProcessParts {
  model: string;
  variant: string | undefined;
  modelDir: string;
  catalogFile: string | undefined;
  /** Fewer than the model makes. */
  dimensions: number | undefined;
  /** REMOTE_EMBEDDING_URL, REMOTE_EMBEDDING_API_KEY, REMOTE_EMBEDDING_MODEL. */
  url: string | undefined;
  apiKey: string | undefined;
  apiModel: string | undefined;
}

const REMOTE = 'remote';
/** No query waits for bulk work at an API: what bounds a request is what it may lose. Each holds up to four times the default. */
const BULK = { bulkBatchMs: 5_000, bulkBatchTokens: 4_096 } as const;
const WARM_UP_AGAIN_MS = 1_000;

/**
 * Starts a worker whose model is behind an API: of the model only its space is needed here. It is `starting` until the API has
 * answered, for as long as that takes.
 *
 * @throws AppError `config_invalid` without an address.
 */
export async function composeRemoteWorker(parts: RemoteWorkerParts): Promise<{ workerId: string }> {
  const { log, lifecycle, url, apiKey } = parts;
  if (url === undefined) {
    throw new AppError('config_invalid', 'REMOTE_EMBEDDING_URL is not set: WORKER_TIER=remote needs it.');
  }
  const { variant, modelDir, catalogFile, dimensions } = parts;
  const model = await findModel(parts.model, { variant, modelDir, catalogFile, dimensions });
  const { space, graphDimensions, maxTokens } = model;
  const tokenizer = await loadTokenizer(model.tokenizerPath, { maxTokens });
  const announced = await announceWorker(parts, { tier: REMOTE, variant: REMOTE, model });
  const { identity, report, onAvailable } = announced;

  const backend = new RemoteBackend({
    address: url,
    apiKey,
    model: parts.apiModel ?? model.name,
    space: { dimensions: graphDimensions, normalize: space.normalize },
    cut: (text, ids) => (ids.length < maxTokens ? text : tokenizer.beginning(text)),
    log,
    onAvailable,
  });
  lifecycle.onClose('backend', () => backend.close());
  report.setDevice(backend.device, `behind ${backend.shown}`);
  const fit = new LiveFit(await warmUpOnceThere(backend, maxTokens));
  log.info({ fit: fit.current, api: backend.shown, model: model.name }, 'model ready');
  const worker = { ...identity, device: backend.device };
  const cut = withVectorsOf(backend, space.dimensions);
  const served = { ...announced, model, worker, backend: cut, fit, bulk: BULK };
  await serveLanes({ ...parts, ...served });
  return { workerId: identity.workerId };
}

/** @throws AppError `shutting_down`. */
async function warmUpOnceThere(backend: RemoteBackend, maxTokens: number): Promise<Fit> {
  for (;;) {
    try {
      // What it takes to be there is no part of how fast it is.
      await backend.whenReady();
      return await warmUp(backend, maxTokens);
    } catch (error) {
      // Busy, gone again or very slow in the middle of it: the backend says why, and knows when it is back.
      const isTooSlow = error instanceof AppError && error.code === 'model_too_slow';
      if (!isModelFailure(error) && !isTooSlow) throw error;
      await wait(WARM_UP_AGAIN_MS);
    }
  }
}
