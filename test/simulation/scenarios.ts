import type { Fit } from '@embergate/routing/fit.ts';
import type { Scenario, TierSetup } from './world.ts';

/** A 7B model on a GPU, and at int4 on two CPU cores. */
export const GPU: Fit = { a: 15, b: 0.4 };
export const CPU: Fit = { a: 40, b: 18 };

const gpu = (change: Partial<TierSetup> = {}): TierSetup => ({
  name: 'gpu',
  workers: 1,
  truth: GPU,
  bulkWaits: true,
  ...change,
});
const cpu = (change: Partial<TierSetup> = {}): TierSetup => ({
  name: 'cpu',
  workers: 2,
  truth: CPU,
  bulkWaits: true,
  ...change,
});

const base = {
  seconds: 120,
  tiers: [gpu(), cpu()],
  gateways: 4,
  staleMs: 500,
  noise: 0.08,
  packing: 'alike',
  faults: [],
  autoscale: null,
} as const;

const steady = (perSecond: number): Pick<Scenario, 'perSecond' | 'peakPerSecond'> => ({
  perSecond: () => perSecond,
  peakPerSecond: perSecond,
});

/** What the CPU tier alone can carry, and what it can't. */
const LIGHT = 3;
const BUSY = 20;
const FAULT = { tier: 'gpu', fromMs: 30_000, untilMs: 80_000 } as const;

export const SCENARIOS: readonly Scenario[] = [
  { ...base, name: 'well', story: 'all is well, 20 queries/s, bulk floods both tiers', ...steady(BUSY) },
  {
    ...base,
    name: 'bursts',
    story: '2 queries/s, and for 4 s of every 20 s 150/s: more than the GPU can carry',
    perSecond: (ms) => (ms % 20_000 < 4_000 ? 150 : 2),
    peakPerSecond: 150,
  },
  { ...base, name: 'overload', story: 'for a minute 100 queries/s: more than both tiers can carry', seconds: 120,
    perSecond: (ms) => (ms > 30_000 && ms < 90_000 ? 100 : 10), peakPerSecond: 100 },
  {
    ...base,
    name: 'slow, light',
    story: 'the GPU answers 200 but ten times slower for 50 s; 3 queries/s, which the CPU can carry',
    ...steady(LIGHT),
    faults: [{ ...FAULT, kind: 'slow', value: 10 }],
  },
  {
    ...base,
    name: 'slow, busy',
    story: 'the same at 20 queries/s, which the CPU can not carry',
    ...steady(BUSY),
    faults: [{ ...FAULT, kind: 'slow', value: 10 }],
  },
  {
    ...base,
    name: 'dead, light',
    story: 'the GPU worker is killed, and starts again after 50 s; 3 queries/s',
    ...steady(LIGHT),
    faults: [{ ...FAULT, kind: 'kill', value: 2_000 }],
  },
  {
    ...base,
    name: 'dead, busy',
    story: 'the same at 20 queries/s',
    ...steady(BUSY),
    faults: [{ ...FAULT, kind: 'kill', value: 2_000 }],
  },
  {
    ...base,
    name: 'errors',
    story: 'the GPU worker refuses every query at once for 50 s; 3 queries/s',
    ...steady(LIGHT),
    faults: [{ ...FAULT, kind: 'fail' }],
  },
  {
    ...base,
    name: 'flapping',
    story: 'the GPU worker freezes for 6 s of every 12 s; 3 queries/s',
    ...steady(LIGHT),
    faults: Array.from({ length: 6 }, (_, round) => ({
      kind: 'freeze' as const,
      tier: 'gpu' as const,
      fromMs: 20_000 + round * 12_000,
      untilMs: 26_000 + round * 12_000,
    })),
  },
  {
    ...base,
    name: 'cold start',
    story: 'no GPU worker at first, each loads for 60 s; 3 queries/s, 40/s from 3 to 6 min, none after 8 min',
    seconds: 720,
    perSecond: (ms) => (ms > 480_000 ? 0 : ms > 180_000 && ms < 360_000 ? 40 : LIGHT),
    peakPerSecond: 40,
    tiers: [gpu({ workers: 0, bulkWaits: false }), cpu({ bulkWaits: false })],
    autoscale: { loadMs: 60_000, maxWorkers: 4 },
  },
];

export function scenario(name: string): Scenario {
  const found = SCENARIOS.find((one) => one.name === name);
  if (!found) throw new Error(`There is no scenario ${name}.`);
  return found;
}
