import { describe, expect, test } from 'vitest';
import { diversify } from '../src/diversify.ts';
import { chunk, paths } from './found-chunks.ts';

describe('one file does not crowd out the others', () => {
  const crowd = [0.9, 0.89, 0.88, 0.87, 0.86].map((score, index) =>
    chunk({ path: 'big.ts', lines: [100 * index, 100 * index + 9], score }),
  );
  const others = [0.84, 0.83, 0.1].map((score, index) =>
    chunk({ path: `other${index}.ts`, lines: [1, 10], score }),
  );

  test('other files that are nearly as good come between its results', () => {
    const before = [...crowd, ...others];
    expect(new Set(paths(before.slice(0, 5))).size).toBe(1);
    const after = diversify(before);
    expect(paths(after.slice(0, 5))).toEqual(['big.ts', 'big.ts', 'other0.ts', 'other1.ts', 'big.ts']);
    expect(after).toHaveLength(before.length);
  });

  test('a file that is far ahead keeps its places', () => {
    const before = [...crowd, ...others.map((one) => ({ ...one, score: one.score / 10 }))];
    expect(paths(diversify(before)).slice(0, 5)).toEqual(Array(5).fill('big.ts'));
  });

  test('files of the same path in two repos are two files', () => {
    const before = [
      chunk({ path: 'a.ts', lines: [1, 9], score: 0.9 }),
      chunk({ path: 'a.ts', lines: [20, 29], score: 0.89 }),
      chunk({ path: 'a.ts', lines: [1, 9], score: 0.88, repo: 'fork' }),
      chunk({ path: 'z.ts', lines: [1, 9], score: 0 }),
    ];
    expect(diversify(before).map(({ repo }) => repo)).toEqual(['app', 'fork', 'app', 'app']);
  });

  test('negative scores, as rerankers give them, are ordered as well as positive ones', () => {
    const shifted = [...crowd, ...others].map((one) => ({ ...one, score: one.score - 5 }));
    expect(paths(diversify(shifted))).toEqual(paths(diversify([...crowd, ...others])));
  });
});
