import { expect, test } from 'vitest';
import { bootstrapMean } from '../src/bootstrap.ts';

const coins = (count: number, heads: number): number[] =>
  Array.from({ length: count }, (_, i) => (i < heads ? 1 : 0));

test('the interval of a coin is what the binomial distribution says', () => {
  // 400 throws, 30% heads: standard error sqrt(.3 * .7 / 400) = 0.0229, so 0.255 to 0.345.
  const { mean, low, high } = bootstrapMean(coins(400, 120), { seed: 1 });
  expect(mean).toBeCloseTo(0.3, 12);
  expect(Math.abs(low - (0.3 - 1.96 * 0.0229))).toBeLessThan(0.005);
  expect(Math.abs(high - (0.3 + 1.96 * 0.0229))).toBeLessThan(0.005);
});

test('the interval holds the truth about 95 times in 100', () => {
  // Samples of a known die: quasi-random throws, mean 3.5.
  let held = 0;
  for (let trial = 0; trial < 200; trial++) {
    const throws = Array.from(
      { length: 60 },
      (_, i) => 1 + Math.floor(6 * fraction((trial * 60 + i + 1) ** 2 * Math.SQRT2)),
    );
    const { low, high } = bootstrapMean(throws, { seed: trial, resamples: 500 });
    if (low <= 3.5 && 3.5 <= high) held++;
  }
  expect(held).toBeGreaterThan(180);
  expect(held).toBeLessThan(200);
});

test('the same seed gives the same interval, another seed nearly the same', () => {
  const values = coins(300, 100);
  const one = bootstrapMean(values, { seed: 7 });
  expect(bootstrapMean(values, { seed: 7 })).toEqual(one);
  const other = bootstrapMean(values, { seed: 8 });
  expect(Math.abs(other.low - one.low)).toBeLessThan(0.01);
});

test('paired differences show what two wide intervals hide', () => {
  // Two systems that vary much from question to question; the second is a little better on each.
  const first = Array.from({ length: 200 }, (_, i) => fraction(i * 0.618));
  const second = first.map((value) => value + 0.01);
  const [a, b] = [bootstrapMean(first, { seed: 1 }), bootstrapMean(second, { seed: 1 })];
  expect(b.low).toBeLessThan(a.high);
  const difference = bootstrapMean(
    second.map((value, i) => value - (first[i] ?? 0)),
    { seed: 1 },
  );
  expect(difference.low).toBeGreaterThan(0);
});

test('equal values have an interval of no width, and no values have none', () => {
  expect(bootstrapMean([0.5, 0.5, 0.5], { seed: 1 })).toEqual({ mean: 0.5, low: 0.5, high: 0.5 });
  expect(() => bootstrapMean([], { seed: 1 })).toThrow(/at least one value/);
});

const fraction = (value: number): number => value - Math.floor(value);
