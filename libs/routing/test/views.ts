import fc from 'fast-check';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { TierView, WorkerCapacity } from '../src/tier-view.ts';

/** A 7B model on a GPU, and at int4 on two CPU cores. */
export const GPU: WorkerCapacity = { fit: { a: 15, b: 0.4 }, busyMs: 0 };
export const CPU: WorkerCapacity = { fit: { a: 40, b: 18 }, busyMs: 0 };

export const view = (name: TierName, change: Partial<TierView> = {}): TierView => ({
  name,
  workers: [name === 'gpu' ? GPU : CPU],
  starting: 0,
  lost: 0,
  misaligned: 0,
  aheadTokens: 0,
  share: 1,
  ...change,
});

/** Evenly spread; fc.double() mostly makes numbers next to zero. */
export const between = (min: number, max: number): fc.Arbitrary<number> =>
  fc.nat(1_000_000).map((step) => min + ((max - min) * step) / 1_000_000);

const anyWorker = fc.record({
  fit: fc.record({
    a: between(0, 500),
    b: between(0, 30),
  }),
  busyMs: fc.nat(3_000),
});

export const anyView = (name: TierName): fc.Arbitrary<TierView> =>
  fc.record({
    name: fc.constant(name),
    workers: fc.array(anyWorker, { maxLength: 4 }),
    starting: fc.nat(2),
    lost: fc.nat(2),
    misaligned: fc.nat(2),
    aheadTokens: fc.nat(5_000),
    share: fc.constantFrom(0, 0.05, 0.25, 1),
  });

export const anyTokens = fc.integer({ min: 1, max: 512 });
