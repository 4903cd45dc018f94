import { describe, expect, test } from 'vitest';
import { judge, type JudgedResult, type Judgement } from '../src/judge.ts';
import { ndcg, recall, reciprocalRank } from '../src/metrics.ts';

const at = (path: string, startLine = 1, endLine = 10): JudgedResult => ({
  repo: 'r',
  path,
  startLine,
  endLine,
  duplicates: [],
});
const right = (path: string, grade = 1): Judgement => ({ path, grade });
const answer = (paths: string[], relevant: Judgement[]) =>
  judge(
    paths.map((path) => at(path)),
    relevant,
  );

describe('what counts as found', () => {
  test('a result that shares a line with what is right', () => {
    const function40 = { path: 'a.py', startLine: 40, endLine: 50, grade: 1 };
    const found = (startLine: number, endLine: number) =>
      judge([at('a.py', startLine, endLine)], [function40]).grades[0];
    expect(found(30, 40)).toBe(1);
    expect(found(50, 60)).toBe(1);
    expect(found(30, 39)).toBe(0);
    expect(found(51, 60)).toBe(0);
    expect(judge([at('b.py', 40, 50)], [function40]).grades).toEqual([0]);
  });

  test('any line of a file where no lines are named, and only in the repo that is named', () => {
    expect(judge([at('a.py', 900, 901)], [right('a.py')]).grades).toEqual([1]);
    expect(judge([at('a.py')], [{ ...right('a.py'), repo: 'other' }]).grades).toEqual([0]);
  });

  test('a result whose copy stands at the right place: the reader is told of it', () => {
    const copy = { repo: 'fork', path: 'a.py', startLine: 1, endLine: 10 };
    const results = [{ ...at('vendor/a.py'), duplicates: [copy] }];
    expect(judge(results, [{ ...right('a.py'), repo: 'fork' }]).grades).toEqual([1]);
  });

  test('the second result on the same thing earns nothing and takes a place', () => {
    const { grades, foundAt } = answer(['a', 'a', 'b'], [right('a'), right('b', 3)]);
    expect(grades).toEqual([1, 0, 3]);
    expect(foundAt).toEqual([0, 2]);
  });

  test('one range over two right functions finds both, and earns the better one', () => {
    const relevant = [
      { path: 'a', startLine: 1, endLine: 5, grade: 1 },
      { path: 'a', startLine: 6, endLine: 9, grade: 2 },
    ];
    expect(judge([at('a', 1, 9)], relevant)).toEqual({ grades: [2], foundAt: [0, 0], ideal: [2, 1] });
  });
});

describe('the measures', () => {
  test('the reciprocal rank is one over the place of the first right answer within the cutoff', () => {
    expect(reciprocalRank(answer(['a', 'b', 'c'], [right('a')]), 10)).toBe(1);
    expect(reciprocalRank(answer(['x', 'y', 'c', 'b'], [right('b'), right('c')]), 10)).toBe(1 / 3);
    expect(reciprocalRank(answer(['x', 'y', 'c'], [right('c')]), 2)).toBe(0);
    expect(reciprocalRank(answer([], [right('c')]), 10)).toBe(0);
  });

  test('recall is the share of all that is right within the cutoff', () => {
    const relevant = [right('a'), right('b', 3), right('c'), right('d', 0)];
    expect(recall(answer(['x', 'a', 'b', 'd'], relevant), 10)).toBeCloseTo(2 / 3, 12);
    expect(recall(answer(['x', 'a', 'b'], relevant), 2)).toBeCloseTo(1 / 3, 12);
    expect(recall(answer(['a'], [right('a', 0)]), 10)).toBe(0);
  });

  test('nDCG of one right answer at place r is 1 / log2(r + 1)', () => {
    const of = (place: number) =>
      ndcg(answer([...Array.from({ length: place - 1 }, (_, n) => `x${n}`), 'a'], [right('a')]), 10);
    expect(of(1)).toBe(1);
    expect(of(2)).toBeCloseTo(0.6309297535714575, 12);
    expect(of(3)).toBe(0.5);
    expect(of(10)).toBeCloseTo(0.2890648263178879, 12);
    expect(of(11)).toBe(0);
  });

  test('nDCG of graded answers, by hand', () => {
    // DCG = 2/log2(2) + 0/log2(3) + 3/log2(4) + 0/log2(5) + 1/log2(6) = 2 + 1.5 + 0.3868528 = 3.8868528
    // perfect: 3, 2, 1, 1: 3 + 2/1.5849625 + 1/2 + 1/2.3219281 = 3 + 1.2618595 + 0.5 + 0.4306766 = 5.1925361
    const relevant = [right('a', 2), right('b', 3), right('c', 1), right('d', 1), right('e', 0)];
    const graded = answer(['a', 'x', 'b', 'e', 'c'], relevant);
    expect(ndcg(graded, 10)).toBeCloseTo(3.8868528 / 5.1925361, 6);
    // With three places: DCG = 2 + 1.5, perfect = 3 + 1.2618595 + 0.5
    expect(ndcg(graded, 3)).toBeCloseTo(3.5 / 4.7618595, 6);
  });

  test('a perfect order has an nDCG of 1, and nothing right one of 0', () => {
    expect(ndcg(answer(['b', 'a', 'c'], [right('a', 2), right('b', 3), right('c')]), 10)).toBe(1);
    expect(ndcg(answer(['a'], [right('a', 0)]), 10)).toBe(0);
  });
});
