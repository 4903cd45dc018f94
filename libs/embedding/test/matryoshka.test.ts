import { describe, expect, it } from 'vitest';
import { cutVectors } from '../src/matryoshka.ts';

const EPSILON = 1e-5;

/** As the model card says it, step by step. */
function byDefinition(vector: number[], to: number): number[] {
  const mean = vector.reduce((sum, value) => sum + value, 0) / vector.length;
  const variance = vector.reduce((sum, value) => sum + (value - mean) ** 2, 0) / vector.length;
  const normed = vector.map((value) => (value - mean) / Math.sqrt(variance + EPSILON)).slice(0, to);
  const length = Math.hypot(...normed);
  return normed.map((value) => value / length);
}

describe('shorter vectors', () => {
  const rows = [
    [0.9, -0.3, 0.1, 0.25, -0.05, 0.4],
    [-0.2, 0.8, 0.5, -0.1, 0.3, 0],
  ];

  it.each([1, 2, 3, 5])('are what layer normalisation, a cut to %i and length one make', (to) => {
    const cut = cutVectors(Float32Array.from(rows.flat()), { from: 6, to });
    expect(cut).toHaveLength(2 * to);
    rows.forEach((row, at) => {
      byDefinition(row, to).forEach((value, n) => expect(cut[at * to + n]).toBeCloseTo(value, 5));
    });
  });

  it('are the same of a vector of any length', () => {
    const once = cutVectors(Float32Array.from(rows.flat()), { from: 6, to: 3 });
    const longer = cutVectors(
      Float32Array.from(rows.flat(), (value) => value * 7),
      { from: 6, to: 3 },
    );
    longer.forEach((value, at) => expect(value).toBeCloseTo(once[at] ?? NaN, 6));
  });

  it('of a vector of equal numbers are zeros, and no number that is none', () => {
    expect([...cutVectors(Float32Array.of(0.5, 0.5, 0.5, 0.5), { from: 4, to: 2 })]).toEqual([0, 0]);
  });
});
