import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitDuration, LiveFit, predictMs } from '../src/fit.ts';

describe('how long a batch takes', () => {
  it('finds the line behind samples of several sizes', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 50, noNaN: true }),
        fc.double({ min: 0.001, max: 5, noNaN: true }),
        (a, b) => {
          const samples = [8, 32, 128, 512].map((tokens) => ({ paddedTokens: tokens, ms: a + b * tokens }));
          const fit = fitDuration(samples);
          expect(predictMs(fit, 256)).toBeCloseTo(a + b * 256, 6);
        },
      ),
    );
  });

  it('never predicts less time for more tokens, nor a negative time, whatever the noise', () => {
    const sample = fc.record({
      paddedTokens: fc.integer({ min: 1, max: 5_000 }),
      ms: fc.double({ min: 0.01, max: 1e4, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1, maxLength: 10 }), (samples) => {
        const { a, b } = fitDuration(samples);
        expect(a).toBeGreaterThanOrEqual(0);
        expect(b).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it('follows a machine that becomes ten times slower within ten batches, and back, whatever the sizes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 4, max: 2_000 }), { minLength: 10, maxLength: 10 }), (sizes) => {
        const live = new LiveFit({ a: 5, b: 0.5 });
        for (const slower of [10, 1]) {
          for (const paddedTokens of sizes)
            live.observe({ paddedTokens, ms: slower * (5 + 0.5 * paddedTokens) });
          expect(predictMs(live.current, 100) / (slower * 55)).toBeGreaterThan(0.75);
          expect(predictMs(live.current, 100) / (slower * 55)).toBeLessThan(1.35);
        }
      }),
    );
  });

  it('does not take one hiccup for a new speed', () => {
    const live = new LiveFit({ a: 5, b: 0.5 });
    live.observe({ paddedTokens: 100, ms: 5_000 });
    expect(live.level).toBeLessThan(2);
  });
});
