import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitDuration, paddedTokens, predictMs } from '../src/fit.ts';

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

  it('charges a batch for its padding', () => {
    expect(paddedTokens([{ length: 3 }, { length: 10 }])).toBe(20);
    expect(paddedTokens([])).toBe(0);
  });
});
