import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { measure, predictionErrors, quantile, turns } from './measures.ts';
import { ourPolicy, type OurCluster } from './our-policy.ts';
import { CPU, GPU, scenario, steady, usual } from './scenarios.ts';
import { World, type Fault, type Scenario } from './world.ts';

/** One run of ours, and what its gateways shared. */
function simulate(of: Scenario, seed: number): { world: World; cluster: OurCluster } {
  const clusters: OurCluster[] = [];
  const world = new World(
    of,
    ourPolicy((one) => clusters.push(one)),
    seed,
  ).run();
  const [cluster] = clusters;
  if (!cluster) throw new Error('Nobody made a cluster.');
  return { world, cluster };
}
const share = <T>(all: readonly T[], is: (one: T) => boolean): number => all.filter(is).length / all.length;

const anySeed = fc.integer({ min: 1, max: 1e6 });
const anyFault = fc.record({
  kind: fc.constantFrom<Fault['kind'][]>('kill', 'freeze', 'slow', 'fail'),
  tier: fc.constantFrom<Fault['tier'][]>('gpu', 'cpu'),
  fromMs: fc.integer({ min: 5_000, max: 20_000 }),
  untilMs: fc.integer({ min: 21_000, max: 40_000 }),
  value: fc.integer({ min: 2, max: 20 }),
});
/** A minute of anything. */
const anyScenario = fc
  .record({
    perSecond: fc.integer({ min: 1, max: 120 }),
    gateways: fc.integer({ min: 1, max: 8 }),
    staleMs: fc.constantFrom(0, 100, 500, 2_000),
    bulkWaits: fc.boolean(),
    packing: fc.constantFrom<Scenario['packing'][]>('in order', 'alike'),
    faults: fc.array(anyFault, { maxLength: 3 }),
  })
  .map(({ perSecond, bulkWaits, faults, ...rest }): Scenario => {
    const base = usual({ name: 'any', story: '' }, steady(perSecond), faults);
    return { ...base, ...rest, seconds: 60, tiers: base.tiers.map((tier) => ({ ...tier, bulkWaits })) };
  });

describe('whatever breaks, and however old what gateways know is', () => {
  it('no query is given to a tier that is predicted to be late, or more than the decision holds for', () => {
    fc.assert(
      fc.property(anyScenario, anySeed, (of, seed) => {
        for (const { admission, remainingMs, aheadTokens } of simulate(of, seed).cluster.promised) {
          expect(admission.predictedMs).toBeLessThan(remainingMs);
          expect(aheadTokens).toBeLessThanOrEqual(admission.maxAheadTokens);
        }
      }),
      { numRuns: 15 },
    );
  });

  it('every query ends by its deadline, and nothing stays reserved', () => {
    fc.assert(
      fc.property(anyScenario, anySeed, (of, seed) => {
        const { world } = simulate(of, seed);
        for (const { outcome, deadlineAt } of world.queries) {
          expect(outcome?.at).toBeLessThanOrEqual(deadlineAt);
        }
        for (const tier of world.tiers) expect(tier.aheadTokens).toBe(0);
      }),
      { numRuns: 10 },
    );
  });

  it('is the same again for the same seed', () => {
    const once = measure(scenario('bursts'), ourPolicy(), [7]);
    expect(measure(scenario('bursts'), ourPolicy(), [7])).toEqual(once);
    expect(measure(scenario('bursts'), ourPolicy(), [8])).not.toEqual(once);
  });
});

describe('no tier is starved', () => {
  it('the first one carries everything that it can, beside a flood of bulk work', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 25 }), anySeed, (perSecond, seed) => {
        const { world } = simulate(usual({ name: 'well', story: '' }, steady(perSecond)), seed);
        const isFirst = share(
          world.queries,
          ({ outcome }) => outcome?.kind === 'vector' && outcome.tier === 'gpu',
        );
        expect(isFirst).toBeGreaterThan(0.99);
      }),
      { numRuns: 10 },
    );
  });

  it('bulk work keeps its twentieth of a worker that queries flood', () => {
    const flood = usual({ name: 'flood', story: '' }, steady(200));
    fc.assert(
      fc.property(anySeed, (seed) => {
        for (const { workers } of simulate({ ...flood, seconds: 60 }, seed).world.tiers) {
          for (const { spentMs } of workers) {
            expect(spentMs.bulk / (spentMs.bulk + spentMs.query)).toBeGreaterThan(0.045);
          }
        }
      }),
      { numRuns: 3 },
    );
  });

  it('the second one answers while the first is gone, and the first again within 10 s', () => {
    const faults = fc.constantFrom<Fault['kind'][]>('kill', 'freeze', 'slow', 'fail');
    fc.assert(
      fc.property(faults, anySeed, (kind, seed) => {
        const fault: Fault = {
          kind,
          tier: 'gpu',
          fromMs: 20_000,
          untilMs: 60_000,
          value: kind === 'slow' ? 20 : 0,
        };
        const of = usual({ name: 'gone', story: '' }, steady(2), [fault]);
        const { world } = simulate(of, seed);
        const gone = world.queries.filter(({ arrivedAt }) => arrivedAt > 25_000 && arrivedAt < 60_000);
        expect(share(gone, ({ outcome }) => outcome?.kind === 'vector')).toBeGreaterThan(0.9);
        expect(measure(of, ourPolicy(), [seed]).returnSeconds).toBeLessThan(10);
      }),
      { numRuns: 16 },
    );
  });

  it('of ten gateways all get their share', () => {
    const { cluster, world } = simulate({ ...scenario('overload'), gateways: 10 }, 1);
    expect(cluster.counts.races).toBeGreaterThan(0);
    expect(share(world.queries, ({ outcome }) => outcome?.kind === 'vector')).toBeGreaterThan(0.75);
  });
});

describe('predictions converge', () => {
  /** One tier, no bulk work, batches of 100 ms and more, at a third to two thirds of what it can take. */
  const slowModel = (perSecond: number, slower: number): Scenario => ({
    ...usual({ name: 'slow model', story: '' }, steady(perSecond), [
      { kind: 'slow', tier: 'cpu', fromMs: 0, untilMs: 1e9, value: slower },
    ]),
    tiers: [{ name: 'cpu', workers: 1, truth: { a: 40, b: 4 }, bulkWaits: false }],
  });

  it('under a steady load, to within 15% for half of the answers', () => {
    fc.assert(
      fc.property(fc.constantFrom(2.5, 4, 5), anySeed, (perSecond, seed) => {
        const errors = predictionErrors(simulate(slowModel(perSecond, 1), seed).cluster.promised);
        expect(errors.length).toBeGreaterThan(100);
        expect(quantile(errors, 0.5)).toBeLessThan(0.15);
        expect(quantile(errors, 0.9)).toBeLessThan(0.5);
      }),
      { numRuns: 10 },
    );
  });

  it('within a few batches though the warm-up was wrong by a multiple', () => {
    fc.assert(
      fc.property(fc.constantFrom(0.2, 0.5, 2, 3), anySeed, (slower, seed) => {
        const { promised } = simulate(slowModel(2.5 / Math.max(1, slower), slower), seed).cluster;
        expect(quantile(predictionErrors(promised.slice(20)), 0.5)).toBeLessThan(0.2);
      }),
      { numRuns: 10 },
    );
  });
});

describe('workers follow the demand', () => {
  const load = { a: GPU.a, b: GPU.b };
  /** Nobody at first, then a steady load until minute 8, then nobody again. */
  const day = (perSecond: number): Scenario => ({
    ...usual({ name: 'a day', story: '' }, steady(perSecond)),
    seconds: 720,
    perSecond: (ms) => (ms > 30_000 && ms < 480_000 ? perSecond : 0),
    tiers: [
      { name: 'gpu', workers: 0, truth: load, bulkWaits: false },
      { name: 'cpu', workers: 1, truth: CPU, bulkWaits: false },
    ],
    autoscale: { loadMs: 30_000, maxWorkers: 20 },
  });

  it('up from zero, to one number, and back to zero, with one turn', () => {
    fc.assert(
      fc.property(fc.constantFrom(1, 10, 40, 100, 200), anySeed, (perSecond, seed) => {
        const history = simulate(day(perSecond), seed).world.autoscaler?.history ?? [];
        const workers = history.map((one) => one.workers);
        expect(workers.slice(0, 2)).toEqual([0, 0]);
        expect(workers[5]).toBeGreaterThanOrEqual(1);
        // Up when the queries come, down when they end.
        expect(turns(workers)).toBe(1);
        expect(workers.at(-1)).toBe(0);
        const asked = history.filter(({ at }) => at > 100_000 && at < 480_000).map(({ wanted }) => wanted);
        expect(Math.max(...asked) - Math.min(...asked)).toBeLessThanOrEqual(Math.max(1, perSecond / 40));
      }),
      { numRuns: 6 },
    );
  });

  it('and those there are carry what is asked', () => {
    const { world } = simulate(day(100), 1);
    const later = world.queries.filter(({ arrivedAt }) => arrivedAt > 120_000);
    expect(share(later, ({ outcome }) => outcome?.kind === 'vector')).toBeGreaterThan(0.99);
  });
});
