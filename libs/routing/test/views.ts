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
  aheadTokens: 0,
  share: 1,
  ...change,
});

const anyWorker = fc.record({
  fit: fc.record({
    a: fc.double({ min: 0, max: 500, noNaN: true }),
    b: fc.double({ min: 0, max: 30, noNaN: true }),
  }),
  busyMs: fc.nat(3_000),
});

export const anyView = (name: TierName): fc.Arbitrary<TierView> =>
  fc.record({
    name: fc.constant(name),
    workers: fc.array(anyWorker, { maxLength: 4 }),
    starting: fc.nat(2),
    lost: fc.nat(2),
    aheadTokens: fc.nat(5_000),
    share: fc.constantFrom(0, 0.05, 0.25, 1),
  });

export const anyTokens = fc.integer({ min: 1, max: 512 });
