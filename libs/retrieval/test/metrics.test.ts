import { expect, test } from 'vitest';
import { distinct, recall, reciprocalRank } from '../src/metrics.ts';

test('the reciprocal rank is one over the place of the right answer', () => {
  expect(reciprocalRank(['a', 'b', 'c'], 'a', 10)).toBe(1);
  expect(reciprocalRank(['a', 'b', 'c'], 'c', 10)).toBe(1 / 3);
});

test('the same answer twice takes one place', () => {
  expect(reciprocalRank(['x', 'x', 'y', 'x', 'a'], 'a', 10)).toBe(1 / 3);
  expect(distinct(['x', 'x', 'y', 'x', 'a'], 2)).toEqual(['x', 'y']);
});

test('beyond the cutoff, and nowhere, both count as not found', () => {
  const eleven = Array.from({ length: 11 }, (_, index) => `f${index}`);
  expect(reciprocalRank(eleven, 'f9', 10)).toBe(1 / 10);
  expect(reciprocalRank(eleven, 'f10', 10)).toBe(0);
  expect(recall(eleven, 'f9', 10)).toBe(1);
  expect(recall(eleven, 'f10', 10)).toBe(0);
  expect(recall([], 'a', 10)).toBe(0);
  expect(reciprocalRank(['b'], 'a', 10)).toBe(0);
});
