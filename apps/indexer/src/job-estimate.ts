import type { IndexEstimate } from '@embergate/contracts/index-job.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { WorkerView } from '@embergate/embedding/transport.ts';
import type { RunEstimate } from '@embergate/ingestion/estimate.ts';
import { predictMs, type Fit } from '@embergate/routing/fit.ts';

export interface SpeedParts {
  workers: Pick<WorkerView, 'living'>;
  space: EmbeddingSpace;
  /** How fast a tier's workers were when there last were any. */
  lastKnownFit: (tier: TierName) => Promise<Fit | null>;
  /** Of the space's model, about. */
  weights: number;
}

/** Bulk batches hold some thousand tokens. */
const BATCH_TOKENS = 1_024;

/** Operations a second on float16, by the data sheet of NVIDIA's T4 (2018): of the GPUs that notebooks and clouds lend, one of the slowest. */
const T4_OPERATIONS = 65e12;
/** A multiplication and an addition. */
const OPERATIONS_PER_WEIGHT = 2;

/** How long an estimated run takes on the first of the tiers that has a worker, and on a GPU where that is another one. */
export async function withTimes(
  run: RunEstimate,
  tiers: readonly TierName[],
  { workers, space, lastKnownFit, weights }: SpeedParts,
): Promise<IndexEstimate> {
  const ready = workers
    .living()
    .filter((beat) => beat.state === 'ready' && beat.space === spaceId(space) && beat.fit !== null);
  const tier = tiers.find((name) => ready.some((beat) => beat.tier === name)) ?? null;
  const secondsOf = (fits: readonly Fit[]): number => {
    const rate = fits.reduce((sum, fit) => sum + (BATCH_TOKENS * 1_000) / predictMs(fit, BATCH_TOKENS), 0);
    return Math.ceil(run.tokens / rate);
  };
  const own = ready.flatMap((beat) => (beat.tier === tier && beat.fit ? [beat.fit] : []));
  const gpu = tier === 'gpu' ? null : await lastKnownFit('gpu').catch(() => null);
  const last =
    tier === null && tiers[0] !== undefined ? await lastKnownFit(tiers[0]).catch(() => null) : null;
  const basis =
    own.length > 0
      ? `${own.length} ready worker(s) of tier ${tier}, alone with this job`
      : last
        ? `no worker is ready; one of tier ${tiers[0]} as it was last measured`
        : 'no worker is ready, and none has been measured';
  const fits = own.length > 0 ? own : last ? [last] : [];
  return {
    ...run,
    tier,
    seconds: run.tokens === 0 ? 0 : fits.length > 0 ? secondsOf(fits) : null,
    basis,
    gpuSeconds: gpu ? secondsOf([gpu]) : null,
    gpuPeakSeconds:
      gpu || tier === 'gpu'
        ? null
        : Math.ceil((OPERATIONS_PER_WEIGHT * weights * run.tokens) / T4_OPERATIONS),
  };
}
