import type { SearchResult } from '@embergate/contracts/http-search.ts';
import { expect, test } from 'vitest';
import type { EvalItem } from '../src/eval/corpus.ts';
import { reportOf, reportTable, scoresOf } from '../src/eval/report.ts';
import { sweep } from '../src/eval/sweep.ts';

const item = (path: string): EvalItem => ({ query: path, path, code: '', namesFunction: false });
const result = (path: string, score = 1): SearchResult => ({
  id: `${path}#${score}`,
  score,
  repo: 'eval',
  path,
  language: 'python',
  symbol: '',
  startLine: 1,
  endLine: 2,
  text: '',
});
const results = (...paths: string[]): SearchResult[] =>
  paths.map((path, index) => result(path, 1 - index / 10));

test('a function of several chunks counts once, at its best place', () => {
  const { mrr, recall } = scoresOf(
    [item('a'), item('b')],
    [results('x', 'x', 'x', 'a', 'a'), results('x', 'y')],
  );
  expect(mrr).toEqual([1 / 2, 0]);
  expect(recall).toEqual([1, 0]);
});

test('the report compares hybrid with both others question by question', () => {
  const items = Array.from({ length: 40 }, (_, index) => item(`f${index}`));
  const right = items.map(({ path }) => results(path));
  const second = items.map(({ path }) => results('other', path));
  const wrong = items.map(() => results('other'));
  const report = reportOf(items, { hybrid: right, dense: second, lexical: wrong }, 1);
  expect(report.modes.dense.mrr).toEqual({ mean: 0.5, low: 0.5, high: 0.5 });
  expect(report.differences).toMatchObject([
    { mode: 'hybrid', minus: 'dense', mrr: { mean: 0.5 }, recall: { mean: 0 } },
    { mode: 'hybrid', minus: 'lexical', mrr: { mean: 1 }, recall: { mean: 1 } },
  ]);
  const text = reportTable(report);
  expect(text).toContain('hybrid - dense');
  expect(text).toContain('+0.500 to +0.500');
});

test('a sweep shows what each weight would have given on the same answers', () => {
  const items = [item('a')];
  // Full text is sure of `a`, vectors are sure of `b` and put `a` last.
  const answers = { hybrid: [], dense: [results('b', 'c', 'a')], lexical: [results('a', 'c')] };
  const rows = sweep(items, answers).filter(({ fusion }) => fusion === 'scores (in use)');
  expect(rows.find(({ denseShare }) => denseShare === 0.4)?.mrr).toBe(1);
  expect(rows.find(({ denseShare }) => denseShare === 0.9)?.mrr).toBeLessThan(1);
});
