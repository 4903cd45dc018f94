import type { SearchResult } from '@embergate/contracts/http-search.ts';
import { expect, test } from 'vitest';
import { configurationOf, HYBRID, MODES } from '../src/eval/configuration.ts';
import type { Question } from '../src/eval/question.ts';
import { reportOf, reportTable } from '../src/eval/report.ts';
import { sweep } from '../src/eval/sweep.ts';

const question = (path: string): Question => ({ query: path, relevant: [{ path, grade: 1 }] });
const result = (path: string, score = 1): SearchResult => ({
  id: `${path}#${score}`,
  score,
  repo: 'eval',
  path,
  language: 'python',
  symbol: '',
  startLine: 1,
  endLine: 2,
  text: path,
  duplicates: [],
});
const results = (...paths: string[]): SearchResult[] =>
  paths.map((path, index) => result(path, 1 - index / 10));

test('the report compares the first search with the others question by question', () => {
  const questions = Array.from({ length: 40 }, (_, index) => question(`f${index}`));
  const right = questions.map(({ query }) => results(query));
  const second = questions.map(({ query }) => results('other', query));
  const wrong = questions.map(() => results('other'));
  const report = reportOf(questions, [right, second, wrong], {
    configurations: [HYBRID, ...MODES],
    seed: 1,
    recallAt: 10,
  });
  expect(report.configurations[1]).toMatchObject({
    name: 'dense',
    request: { mode: 'dense' },
    mrr: { mean: 0.5, low: 0.5, high: 0.5 },
    recall: { mean: 1 },
    // Two results of two lines.
    lines: 4,
  });
  expect(report.configurations[1]?.ndcg.mean).toBeCloseTo(1 / Math.log2(3), 12);
  expect(report.differences).toMatchObject([
    { name: 'hybrid', minus: 'dense', mrr: { mean: 0.5 }, recall: { mean: 0 } },
    { name: 'hybrid', minus: 'lexical', mrr: { mean: 1 }, ndcg: { mean: 1 }, recall: { mean: 1 } },
  ]);
  const text = reportTable(report);
  expect(text).toContain('hybrid - dense');
  expect(text).toContain('+0.500 to +0.500');
});

test('recall looks as far as it is told, order at ten', () => {
  const answers = [[results(...Array.from({ length: 12 }, (_, index) => `x${index}`), 'a')]];
  const of = (recallAt: number) =>
    reportOf([question('a')], answers, { configurations: [HYBRID], seed: 1, recallAt }).configurations[0];
  expect(of(20)).toMatchObject({ recall: { mean: 1 }, mrr: { mean: 0 }, ndcg: { mean: 0 } });
  expect(of(10)).toMatchObject({ recall: { mean: 0 } });
});

test('a search is written as the fields of its request', () => {
  expect(configurationOf('mode=dense')).toEqual({ name: 'dense', request: { mode: 'dense' } });
  expect(configurationOf('weights=2.5:1,diversify=off')).toEqual({
    name: 'weights=2.5:1,diversify=off',
    request: { weights: { dense: 2.5, lexical: 1 }, arrange: { diversify: false } },
  });
  expect(configurationOf('arrange=off, merge=on, rerank=on').request).toEqual({
    arrange: { fold: false, diversify: false, merge: true },
    rerank: true,
  });
});

test.each(['', 'mode=semantic', 'weights=0:0', 'weights=5', 'fold=maybe', 'limit=5', 'diversify'])(
  'what is no field of a search is refused by name: "%s"',
  (text) => {
    expect(() => configurationOf(text)).toThrow(expect.objectContaining({ code: 'usage' }));
    expect(() => configurationOf(text)).toThrow(`"${text}" is no field of a search`);
  },
);

test('a sweep shows what each weight would have given on the same answers', () => {
  // Full text is sure of `a`, vectors are sure of `b` and put `a` last.
  const rows = sweep([question('a')], [[results('b', 'c', 'a')], [results('a', 'c')]]);
  const scores = rows.filter(({ way }) => way === 'scores (in use)');
  expect(scores.find(({ denseShare }) => denseShare === 0.4)?.mrr).toBe(1);
  expect(scores.find(({ denseShare }) => denseShare === 0.9)?.mrr).toBeLessThan(1);
});

test('a sweep shows what became of a file that crowds out the right one', () => {
  const crowd = [1, 2, 3].map((n) => ({
    ...result('big', 1 - n / 100),
    id: `big${n}`,
    text: `${n}`,
    startLine: 9 * n,
    endLine: 9 * n,
  }));
  const list = [...crowd, result('a', 0.96), result('z', 0.1)];
  const rows = sweep([question('a')], [[list], []]);
  const mrrOf = (name: string) => rows.find(({ way }) => way === name)?.mrr;
  expect(mrrOf('as found')).toBe(1 / 4);
  expect(mrrOf('fold, merge, 1 a file first')).toBe(1 / 2);
  expect(mrrOf('fold, merge, decay 0.9')).toBe(1 / 2);
});
