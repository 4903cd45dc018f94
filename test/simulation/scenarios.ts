import type { Fit } from '@embergate/routing/fit.ts';
import type { Fault, Scenario, TierSetup } from './world.ts';

/** A 7B model on a GPU, and at int4 on two CPU cores. */
export const GPU: Fit = { a: 15, b: 0.4 };
export const CPU: Fit = { a: 40, b: 18 };

/** Queries a second: what the CPU tier alone can carry, and what it can't. */
const LIGHT = 3;
const BUSY = 20;
/** When the fault begins and ends, in milliseconds. */
const FAULT = { tier: 'gpu', fromMs: 30_000, untilMs: 80_000 } as const;

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

type Told = Pick<Scenario, 'name' | 'story'>;
type Load = Pick<Scenario, 'perSecond' | 'peakPerSecond'>;

export const steady = (perSecond: number): Load => ({
  perSecond: () => perSecond,
  peakPerSecond: perSecond,
});

/** Two minutes of one GPU worker and two CPU workers behind four gateways, bulk flooding all. */
export const usual = (told: Told, load: Load, faults: readonly Fault[] = []): Scenario => ({
  ...told,
  ...load,
  faults,
  seconds: 120,
  tiers: [gpu(), cpu()],
  gateways: 4,
  staleMs: 500,
  noise: 0.08,
  packing: 'alike',
  autoscale: null,
});

const freezes = Array.from({ length: 6 }, (_, round): Fault => {
  const fromMs = 20_000 + round * 12_000;
  return { kind: 'freeze', tier: 'gpu', fromMs, untilMs: fromMs + 6_000 };
});

export const SCENARIOS: readonly Scenario[] = [
  {
    ...usual({ name: 'well, no bulk', story: 'all is well; 20 queries/s and no bulk work' }, steady(BUSY)),
    tiers: [gpu({ bulkWaits: false }), cpu({ bulkWaits: false })],
  },
  usual(
    { name: 'well', story: 'all is well; 20 queries/s, and from here on bulk floods both tiers' },
    steady(BUSY),
  ),
  usual(
    { name: 'bursts', story: '2 queries/s, and 150/s for 4 s of every 20 s: more than the GPU can carry' },
    { perSecond: (ms) => (ms % 20_000 < 4_000 ? 150 : 2), peakPerSecond: 150 },
  ),
  usual(
    { name: 'overload', story: '10 queries/s, and 100/s for a minute: more than both tiers can carry' },
    { perSecond: (ms) => (ms > 30_000 && ms < 90_000 ? 100 : 10), peakPerSecond: 100 },
  ),
  usual(
    {
      name: 'slow, light',
      story: 'the GPU answers 200, ten times slower, for 50 s; 3 queries/s, which the CPU can carry',
    },
    steady(LIGHT),
    [{ ...FAULT, kind: 'slow', value: 10 }],
  ),
  usual(
    { name: 'slow, busy', story: 'the same at 20 queries/s, which the CPU can not carry' },
    steady(BUSY),
    [{ ...FAULT, kind: 'slow', value: 10 }],
  ),
  usual(
    { name: 'dead, light', story: 'the GPU worker is killed, and starts again 50 s later; 3 queries/s' },
    steady(LIGHT),
    [{ ...FAULT, kind: 'kill', value: 2_000 }],
  ),
  usual({ name: 'dead, busy', story: 'the same at 20 queries/s' }, steady(BUSY), [
    { ...FAULT, kind: 'kill', value: 2_000 },
  ]),
  usual(
    { name: 'errors', story: 'the GPU worker refuses every query at once for 50 s; 3 queries/s' },
    steady(LIGHT),
    [{ ...FAULT, kind: 'fail' }],
  ),
  usual(
    { name: 'flapping', story: 'the GPU worker freezes for 6 s of every 12 s, six times; 3 queries/s' },
    steady(LIGHT),
    freezes,
  ),
  {
    ...usual(
      {
        name: 'cold start',
        story:
          'no GPU worker at first, each takes 60 s to load, no bulk work; 3 queries/s, 40/s from minute 3 to 6, none after minute 8',
      },
      {
        perSecond: (ms) => (ms > 480_000 ? 0 : ms > 180_000 && ms < 360_000 ? 40 : LIGHT),
        peakPerSecond: 40,
      },
    ),
    seconds: 720,
    tiers: [gpu({ workers: 0, bulkWaits: false }), cpu({ bulkWaits: false })],
    autoscale: { loadMs: 60_000, maxWorkers: 4 },
  },
];

/** @throws Error where there is none of that name. */
export function scenario(name: string): Scenario {
  const found = SCENARIOS.find((one) => one.name === name);
  if (!found) throw new Error(`There is no scenario ${name}.`);
  return found;
}
