import { describe, expect, test } from 'vitest';
import { arrange } from '../src/arrange.ts';
import { fold } from '../src/fold.ts';
import { mergeNeighbours } from '../src/merge-neighbours.ts';
import { chunk, linesOf, places } from './found-chunks.ts';

describe('neighbouring chunks are one range', () => {
  test('a long function that was cut comes as one result at the place of its best part', () => {
    const results = mergeNeighbours(
      fold([
        chunk({ path: 'a.ts', lines: [21, 40], score: 0.9, symbol: 'run' }),
        chunk({ path: 'b.ts', lines: [1, 5], score: 0.8 }),
        chunk({ path: 'a.ts', lines: [41, 60], score: 0.7, symbol: 'run' }),
        chunk({ path: 'a.ts', lines: [1, 20], score: 0.6, symbol: 'Runner, run' }),
      ]),
      10,
    );
    expect(places(results)).toEqual(['a.ts:1-60', 'b.ts:1-5']);
    expect(results[0]).toMatchObject({
      id: 'app:a.ts:21-40',
      score: 0.9,
      symbol: 'Runner, run',
      text: linesOf('a.ts', 1, 60),
    });
  });

  test('lines that both have are there once', () => {
    const results = mergeNeighbours(
      fold([
        chunk({ path: 'a.txt', lines: [10, 20], score: 0.9 }),
        chunk({ path: 'a.txt', lines: [1, 12], score: 0.8 }),
      ]),
      10,
    );
    expect(places(results)).toEqual(['a.txt:1-20']);
    expect(results[0]?.text).toBe(linesOf('a.txt', 1, 20));
  });

  test('blank lines between two definitions are there again; a third line apart is another place', () => {
    const pair = (second: number) =>
      mergeNeighbours(
        fold([
          chunk({ path: 'a.py', lines: [1, 5], score: 0.9 }),
          chunk({ path: 'a.py', lines: [second, second + 4], score: 0.8 }),
        ]),
        10,
      );
    expect(places(pair(8))).toEqual(['a.py:1-12']);
    expect(pair(8)[0]?.text).toBe(`${linesOf('a.py', 1, 5)}\n\n\n${linesOf('a.py', 8, 12)}`);
    expect(pair(9)).toHaveLength(2);
  });

  test('a line between them that is known to hold something is not shown as blank', () => {
    const around = [
      chunk({ path: 'a.py', lines: [1, 5], score: 0.9 }),
      chunk({ path: 'a.py', lines: [7, 12], score: 0.8 }),
    ];
    const between = chunk({ path: 'a.py', lines: [6, 6], score: 0.7, text: 'x = 1' });
    expect(places(mergeNeighbours(fold(around), 2))).toEqual(['a.py:1-12']);
    const all = { fold: true, diversify: true, merge: true };
    expect(places(arrange([...around, between], { ...all, limit: 2 }))).toEqual(['a.py:1-5', 'a.py:7-12']);
  });

  test('two ranges become one when what lies between them comes up', () => {
    const results = mergeNeighbours(
      fold([
        chunk({ path: 'a.ts', lines: [1, 10], score: 0.9 }),
        chunk({ path: 'b.ts', lines: [1, 10], score: 0.8 }),
        chunk({ path: 'a.ts', lines: [21, 30], score: 0.7 }),
        chunk({ path: 'a.ts', lines: [11, 20], score: 0.6 }),
      ]),
      10,
    );
    expect(places(results)).toEqual(['a.ts:1-30', 'b.ts:1-10']);
  });

  test('a range stays short enough to read', () => {
    const parts = Array.from({ length: 20 }, (_, index) =>
      chunk({ path: 'a.ts', lines: [index * 10 + 1, index * 10 + 10], score: 1 - index / 100 }),
    );
    for (const { startLine, endLine } of mergeNeighbours(fold(parts), 10))
      expect(endLine - startLine + 1).toBeLessThanOrEqual(120);
  });

  test('pieces of one long line, and lines that two chunks show differently, stay apart', () => {
    const pieces = [
      chunk({ path: 'data.json', lines: [5, 5], score: 0.9, text: '[1, 2, ' }),
      chunk({ path: 'data.json', lines: [5, 5], score: 0.8, text: '3, 4]' }),
      chunk({ path: 'data.json', lines: [6, 8], score: 0.7 }),
      chunk({ path: 'b.ts', lines: [1, 10], score: 0.6 }),
      chunk({ path: 'b.ts', lines: [10, 12], score: 0.5, text: 'changed\nsince\nthen' }),
    ];
    expect(mergeNeighbours(fold(pieces), 10)).toHaveLength(5);
  });

  test('a weak neighbour beyond the limit does not ride on a strong one', () => {
    const results = mergeNeighbours(
      fold([
        chunk({ path: 'a.ts', lines: [1, 10], score: 0.9 }),
        chunk({ path: 'b.ts', lines: [1, 10], score: 0.8 }),
        chunk({ path: 'c.ts', lines: [1, 10], score: 0.7 }),
        chunk({ path: 'a.ts', lines: [11, 20], score: 0.1 }),
      ]),
      2,
    );
    expect(places(results).slice(0, 2)).toEqual(['a.ts:1-10', 'b.ts:1-10']);
    // What has no place stays as it was, for a later step to choose from.
    expect(places(results).slice(2)).toEqual(['c.ts:1-10', 'a.ts:11-20']);
  });
});
