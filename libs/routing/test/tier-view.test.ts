import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aheadWithin, predictArrivalMs, type TierView } from '../src/tier-view.ts';
import { between, anyTokens, anyView, CPU, GPU, view } from './views.ts';

const predicted = (of: TierView, tokens: number): number => predictArrivalMs(of, tokens) ?? NaN;

describe('when an answer would be here', () => {
  it('says nothing of a tier without workers', () => {
    expect(predictArrivalMs(view('gpu', { workers: [] }), 20)).toBeNull();
    expect(aheadWithin(view('gpu', { workers: [] }), 20, 1_000)).toBe(-1);
  });

  it('is the batch alone where the worker is idle and nobody waits, however slow it was before', () => {
    expect(predicted(view('gpu'), 20)).toBeCloseTo(15 + 0.4 * 20);
  });

  it('waits for what is left of the running batch', () => {
    const busy = view('gpu', { workers: [{ ...GPU, busyMs: 120 }] });
    expect(predicted(busy, 20)).toBeCloseTo(120 + 15 + 0.4 * 20);
  });

  it('goes to the worker that is free first, and does not count on one that is busy for long', () => {
    const one = view('cpu', { workers: [CPU], aheadTokens: 40 });
    const beside = view('cpu', { workers: [CPU, { ...CPU, busyMs: 60_000 }], aheadTokens: 40 });
    expect(predicted(beside, 20)).toBeCloseTo(predicted(one, 20));
    const helped = view('cpu', { workers: [CPU, CPU], aheadTokens: 40 });
    expect(predicted(helped, 20)).toBeLessThan(predicted(one, 20));
  });

  it('reckons with the constant cost of every batch before mine, which one line through all tokens does not', () => {
    // 100 batches of one query each take a + b * 20; the sum of b alone would be 10% less.
    const cpu = view('cpu', { aheadTokens: 100 * 20 });
    expect(predicted(cpu, 20)).toBeCloseTo(101 * (40 + 18 * 20));
  });

  it('is never sooner for more tokens ahead, or of a worker that is busy for longer', () => {
    fc.assert(
      fc.property(anyView('gpu'), anyTokens, fc.nat(1_000), (tier, tokens, more) => {
        fc.pre(tier.workers.length > 0);
        const before = predicted(tier, tokens);
        expect(predicted({ ...tier, aheadTokens: tier.aheadTokens + more }, tokens)).toBeGreaterThanOrEqual(
          before - 1e-6,
        );
        const busier = tier.workers.map((worker) => ({ ...worker, busyMs: worker.busyMs + more }));
        expect(predicted({ ...tier, workers: busier }, tokens)).toBeGreaterThanOrEqual(before - 1e-6);
      }),
    );
  });

  it('knows to the token how much may be ahead', () => {
    const anyMs = between(1, 5_000);
    fc.assert(
      fc.property(anyView('gpu'), anyTokens, anyMs, (tier, tokens, ms) => {
        fc.pre(tier.workers.length > 0);
        const most = aheadWithin(tier, tokens, ms);
        if (most >= 0) expect(predicted({ ...tier, aheadTokens: most }, tokens)).toBeLessThanOrEqual(ms);
        if (most < 1e9) expect(predicted({ ...tier, aheadTokens: most + 1 }, tokens)).toBeGreaterThan(ms);
      }),
    );
  });
});
