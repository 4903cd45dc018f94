import fc from 'fast-check';
import { expect, it } from 'vitest';
import { readOrder } from '../src/read-order.ts';
import { slidingWindows } from '../src/windows.ts';

it.each([
  ['in order', '[3] > [1] > [4] > [2]', [2, 0, 3, 1]],
  ['some left out: they keep their order behind', '[4] > [2]', [3, 1, 0, 2]],
  ['some twice: the first time counts', '[2] > [1] > [2] > [2] > [3] > [4]', [1, 0, 2, 3]],
  ['some invented: left out', '[9] > [0] > [3] > [-1] > [5] > [1] > [99999999999999999999]', [2, 0, 1, 3]],
  ['without brackets', '4 > 1, 2', [3, 0, 1, 2]],
  ['with words that hold numbers', 'Of the 4 snippets the best are [2]>[ 4 ].', [1, 3, 0, 2]],
  ['after thoughts of other orders', '<think>[1] > [2]? No.</think>[4] > [3]', [3, 2, 0, 1]],
  ['cut off', '[2] > [', [1, 0, 2, 3]],
])('a model names its order %s', (_how, answer, order) => {
  expect(readOrder(answer, 4)).toEqual(order);
});

it.each([[''], ['I cannot rank these.'], ['[7] > [8]'], ['<think>[2] > [1], or'], ['[one] > [two]']])(
  'an answer that names no passage is none: %j',
  (answer) => {
    expect(readOrder(answer, 4)).toBeNull();
  },
);

it('is an order of all passages, whatever the answer', () => {
  const piece = fc.oneof(
    fc.integer({ min: -3, max: 15 }).map((number) => `[${number}]`),
    fc.constantFrom(' > ', ' ', '\n', '<think>', '</think>'),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(piece), fc.integer({ min: 1, max: 10 }), (pieces, count) => {
      const order = readOrder(pieces.join(''), count);
      const sorted = order?.toSorted((a, b) => a - b);
      return order === null || (sorted?.length === count && sorted.every((at, index) => at === index));
    }),
  );
});

it('windows of ten slide by five from the end to the front, and none is left out', () => {
  const starts = (count: number) => slidingWindows(count).map(({ from, to }) => [from, to]);
  expect(slidingWindows(100)).toHaveLength(19);
  expect(starts(100).slice(0, 2)).toEqual([
    [90, 100],
    [85, 95],
  ]);
  expect(starts(100).at(-1)).toEqual([0, 10]);
  expect(starts(23)).toEqual([
    [13, 23],
    [8, 18],
    [3, 13],
    [0, 8],
  ]);
  expect(starts(10)).toEqual([[0, 10]]);
  expect(starts(3)).toEqual([[0, 3]]);
  expect(starts(0)).toEqual([]);
});
