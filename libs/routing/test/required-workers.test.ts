import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { requiredWorkers, workerCapacity, type Demand } from '../src/required-workers.ts';
import { between } from './views.ts';

const FIT = { a: 15, b: 0.4 };
const demand = (change: Partial<Demand> = {}): Demand => ({
  shortTokensPerSecond: 0,
  longTokensPerSecond: 0,
  bulkWaits: false,
  ...change,
});
const anyRate = between(0, 1e6);
const anyFit = fc.record({
  a: between(0, 1_000),
  b: between(0, 100),
});

describe('how many workers a tier needs', () => {
  it('is none while nobody asks, whatever the workers were like', () => {
    expect(requiredWorkers(demand(), FIT)).toBe(0);
    expect(requiredWorkers(demand(), null)).toBe(0);
  });

  it('is one for the first query, though no worker was ever there and no backlog is', () => {
    expect(requiredWorkers(demand({ shortTokensPerSecond: 0.1 }), null)).toBe(1);
    expect(requiredWorkers(demand({ shortTokensPerSecond: 0.1 }), FIT)).toBe(1);
  });

  it('is one for bulk work, and never more for it', () => {
    expect(requiredWorkers(demand({ bulkWaits: true }), FIT)).toBe(1);
    const busy = demand({ shortTokensPerSecond: 3 * workerCapacity(FIT), bulkWaits: true });
    expect(requiredWorkers(busy, FIT)).toBe(3);
  });

  it('goes up with the short window and down only with the long one', () => {
    const three = 3 * workerCapacity(FIT);
    const one = 0.5 * workerCapacity(FIT);
    expect(requiredWorkers(demand({ shortTokensPerSecond: three, longTokensPerSecond: one }), FIT)).toBe(3);
    expect(requiredWorkers(demand({ shortTokensPerSecond: one, longTokensPerSecond: three }), FIT)).toBe(3);
    expect(requiredWorkers(demand({ shortTokensPerSecond: one, longTokensPerSecond: one }), FIT)).toBe(1);
  });

  it('leaves every worker time to spare', () => {
    // 32 tokens in one batch of 27.8 ms are 1,151 tokens a second; 70% of them count.
    expect(workerCapacity(FIT)).toBeCloseTo((32 / 27.8) * 1_000 * 0.7);
    fc.assert(
      fc.property(anyRate, anyFit, (tokens, fit) => {
        fc.pre(tokens > 0);
        const workers = requiredWorkers(demand({ longTokensPerSecond: tokens }), fit);
        expect(workers * workerCapacity(fit)).toBeGreaterThanOrEqual(tokens * (1 - 1e-9));
        expect((workers - 1) * workerCapacity(fit)).toBeLessThan(tokens);
      }),
    );
  });

  it('is never less for more demand or for slower workers, and always a number', () => {
    fc.assert(
      fc.property(anyRate, anyRate, anyFit, fc.boolean(), (tokens, more, fit, bulkWaits) => {
        const at = (rate: number, slower = 1): number =>
          requiredWorkers(demand({ shortTokensPerSecond: rate, bulkWaits }), {
            a: fit.a * slower,
            b: fit.b * slower,
          });
        expect(Number.isSafeInteger(at(tokens))).toBe(true);
        expect(at(tokens + more)).toBeGreaterThanOrEqual(at(tokens));
        expect(at(tokens, 10)).toBeGreaterThanOrEqual(at(tokens));
      }),
    );
  });
});
