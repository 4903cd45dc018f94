import type { Heartbeat } from '@embergate/contracts/tiers.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { Fit } from '@embergate/routing/fit.ts';
import { describe, expect, it } from 'vitest';
import { withTimes } from '../src/job-estimate.ts';

const SPACE: EmbeddingSpace = {
  model: 'code',
  revision: '1',
  dimensions: 8,
  pooling: 'mean',
  normalize: true,
  prompts: { query: '', document: '' },
};
const RUN = { files: 3, sampledFiles: 3, chunks: 9, reused: 2, embedded: 7, tokens: 1_024_000 };
/** A thousand batches of a tenth of a second. */
const CPU: Fit = { a: 0, b: 100 / 1_024 };
const GPU: Fit = { a: 0, b: 1 / 1_024 };
const WEIGHTS = 7e9;

const worker = (tier: TierName, fit: Fit | null, about: Partial<Heartbeat> = {}): Heartbeat =>
  ({ tier, fit, state: 'ready', space: spaceId(SPACE), ...about }) as Heartbeat;

const told = (tiers: TierName[], workers: Heartbeat[], known: Partial<Record<TierName, Fit>> = {}) =>
  withTimes(RUN, tiers, {
    workers: { living: () => workers },
    space: SPACE,
    lastKnownFit: (tier) => Promise.resolve(known[tier] ?? null),
    weights: WEIGHTS,
  });

describe('what a job will take', () => {
  it('is reckoned with the workers of the first tier that has one, and told for a GPU that was measured before', async () => {
    const workers = [worker('cpu', CPU), worker('cpu', CPU)];
    expect(await told(['gpu', 'cpu'], workers, { gpu: GPU })).toMatchObject({
      ...RUN,
      tier: 'cpu',
      seconds: 50,
      basis: '2 ready worker(s) of tier cpu, alone with this job',
      gpuSeconds: 1,
      gpuPeakSeconds: null,
    });
  });

  it('says for a GPU that was never measured what one takes at its peak rate, by the size of the model', async () => {
    expect(await told(['cpu'], [worker('cpu', CPU)])).toMatchObject({
      seconds: 100,
      gpuSeconds: null,
      gpuPeakSeconds: Math.ceil((2 * WEIGHTS * RUN.tokens) / 65e12),
    });
  });

  it('says nothing more of a GPU where it is one that embeds', async () => {
    expect(await told(['gpu', 'cpu'], [worker('gpu', GPU), worker('cpu', CPU)])).toMatchObject({
      tier: 'gpu',
      seconds: 1,
      gpuSeconds: null,
      gpuPeakSeconds: null,
    });
  });

  it('is what the tier took last, or unknown, while no worker of this space is ready', async () => {
    const others = [
      worker('cpu', CPU, { state: 'starting' }),
      worker('cpu', CPU, { space: 'another' }),
      worker('cpu', null),
    ];
    expect(await told(['cpu'], others, { cpu: CPU })).toMatchObject({
      tier: null,
      seconds: 100,
      basis: 'no worker is ready; one of tier cpu as it was last measured',
    });
    expect(await told(['cpu'], others)).toMatchObject({
      tier: null,
      seconds: null,
      basis: 'no worker is ready, and none has been measured',
    });
  });
});
