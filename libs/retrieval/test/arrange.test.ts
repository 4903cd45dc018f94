import type { ScoredChunk } from '@embergate/vector-store/store.ts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arrange } from '../src/arrange.ts';
import { diversify } from '../src/diversify.ts';
import { fold } from '../src/fold.ts';
import { mergeNeighbours } from '../src/merge-neighbours.ts';

/** A file of numbered lines, of which chunks are cut. */
const linesOf = (name: string, first: number, last: number): string =>
  Array.from({ length: last - first + 1 }, (_, index) => `${name} line ${first + index}`).join('\n');

interface Cut {
  path: string;
  lines: [number, number];
  score: number;
  repo?: string;
  text?: string;
  symbol?: string;
}

function chunk({
  path,
  lines: [startLine, endLine],
  score,
  repo = 'app',
  text,
  symbol = '',
}: Cut): ScoredChunk {
  return {
    id: `${repo}:${path}:${startLine}-${endLine}`,
    repo,
    path,
    language: 'typescript',
    symbol,
    startLine,
    endLine,
    text: text ?? linesOf(path, startLine, endLine),
    score,
  };
}
const all = { fold: true, diversify: true, merge: true };
const none = { fold: false, diversify: false, merge: false };
const places = (results: readonly { path: string; startLine: number; endLine: number }[]): string[] =>
  results.map(({ path, startLine, endLine }) => `${path}:${startLine}-${endLine}`);
const paths = (results: readonly { path: string }[]): string[] => results.map(({ path }) => path);

describe('the same text in several places is one result', () => {
  const retry = linesOf('retry', 1, 20);

  test('the best stays, and says in which repos, files and lines the others are', () => {
    const results = fold([
      chunk({ path: 'src/retry.ts', lines: [1, 20], score: 0.9, text: retry }),
      chunk({ path: 'src/other.ts', lines: [1, 20], score: 0.8 }),
      chunk({ path: 'vendor/retry.ts', lines: [11, 30], score: 0.7, text: retry }),
      chunk({ path: 'src/retry.ts', lines: [1, 20], score: 0.6, text: retry, repo: 'fork' }),
    ]);
    expect(paths(results)).toEqual(['src/retry.ts', 'src/other.ts']);
    expect(results[0]).toMatchObject({
      repo: 'app',
      score: 0.9,
      duplicates: [
        { repo: 'app', path: 'vendor/retry.ts', startLine: 11, endLine: 30 },
        { repo: 'fork', path: 'src/retry.ts', startLine: 1, endLine: 20 },
      ],
    });
    expect(results[1]?.duplicates).toEqual([]);
  });

  test('a copy with another indentation, blank lines, or one line of twenty changed is a copy', () => {
    const indented = retry.replaceAll('\n', '\n\n    ');
    const patched = retry.replace('line 7', 'line 7 // patched');
    const results = fold([
      chunk({ path: 'a.ts', lines: [1, 20], score: 3, text: retry }),
      chunk({ path: 'b.ts', lines: [1, 40], score: 2, text: indented }),
      chunk({ path: 'c.ts', lines: [1, 20], score: 1, text: patched }),
    ]);
    expect(results).toHaveLength(1);
    expect(paths(results[0]?.duplicates ?? [])).toEqual(['b.ts', 'c.ts']);
  });

  test('whatever two texts share: at nine tenths of their lines they are one, below that two', () => {
    const line = fc.integer({ min: 0, max: 60 }).map((n) => 'x'.repeat(n % 7) + String(n));
    const texts = fc.tuple(fc.uniqueArray(line, { minLength: 1 }), fc.uniqueArray(line, { maxLength: 3 }));
    fc.assert(
      fc.property(texts, fc.nat(), ([lines, added], dropped) => {
        const other = [
          ...new Set([...lines.filter((_, index) => index !== dropped % lines.length), ...added]),
        ];
        const shared = other.filter((one) => lines.includes(one)).length;
        const same = shared / (lines.length + other.length - shared) >= 0.9;
        const results = fold([
          chunk({ path: 'a', lines: [1, 99], score: 2, text: lines.join('\n') }),
          chunk({ path: 'b', lines: [1, 99], score: 1, text: other.reverse().join('\n  ') }),
        ]);
        expect(results).toHaveLength(same ? 1 : 2);
      }),
    );
  });

  test('short functions that differ in a line are two, and so are texts that share half of their lines', () => {
    const getter = (name: string) => `get ${name}() {\n  this.check();\n  return this.${name};\n}`;
    const half = linesOf('retry', 1, 10) + '\n' + linesOf('else', 11, 20);
    const results = fold([
      chunk({ path: 'a.ts', lines: [1, 4], score: 4, text: getter('width') }),
      chunk({ path: 'a.ts', lines: [6, 9], score: 3, text: getter('height') }),
      chunk({ path: 'b.ts', lines: [1, 20], score: 2, text: retry }),
      chunk({ path: 'c.ts', lines: [1, 20], score: 1, text: half }),
    ]);
    expect(results).toHaveLength(4);
  });
});

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

describe('a list for readers', () => {
  test('copies and neighbours leave their places to others: the limit is filled', () => {
    const copies = Array.from({ length: 10 }, (_, index) =>
      chunk({ path: 'lib.ts', lines: [1, 20], score: 1 - index / 100, repo: `branch${index}` }),
    );
    const rest = Array.from({ length: 10 }, (_, index) =>
      chunk({ path: `f${index}.ts`, lines: [1, 5], score: 0.5 - index / 100 }),
    );
    const results = arrange([...copies, ...rest], { limit: 10, ...all });
    expect(results).toHaveLength(10);
    expect(results[0]?.duplicates).toHaveLength(9);
  });

  test('switched off, the chunks come as they were found', () => {
    const found = [
      chunk({ path: 'a.ts', lines: [1, 10], score: 0.9 }),
      chunk({ path: 'a.ts', lines: [11, 20], score: 0.8 }),
      chunk({ path: 'a.ts', lines: [1, 10], score: 0.7, repo: 'fork' }),
    ];
    const results = arrange(found, { limit: 2, ...none });
    expect(results).toEqual(found.slice(0, 2).map((one) => ({ ...one, duplicates: [] })));
  });

  const found = fc
    .array(
      fc.record({
        path: fc.constantFrom('a', 'b', 'c'),
        repo: fc.constantFrom('app', 'fork'),
        first: fc.integer({ min: 0, max: 6 }),
        score: fc.integer({ min: -20, max: 20 }),
      }),
      { maxLength: 40 },
    )
    .map((cuts) =>
      cuts
        .map(({ path, repo, first, score }) =>
          chunk({
            path,
            repo,
            lines: [first * 10 + 1, first * 10 + 10],
            score,
            text: linesOf(path, first * 10 + 1, first * 10 + 10),
          }),
        )
        .filter((one, index, list) => list.findIndex(({ id }) => id === one.id) === index)
        .sort((one, other) => other.score - one.score),
    );

  test('whatever was found: the limit holds, the best comes first, no line is shown twice, each text is its lines', () => {
    fc.assert(
      fc.property(found, fc.integer({ min: 1, max: 20 }), (list, limit) => {
        const results = arrange(list, { limit, ...all });
        expect(results.length).toBeLessThanOrEqual(limit);
        expect(results[0]?.score).toBe(list[0]?.score);
        const shown = results.flatMap(({ repo, path, startLine, endLine }) =>
          Array.from(
            { length: endLine - startLine + 1 },
            (_, index) => `${repo}:${path}:${startLine + index}`,
          ),
        );
        expect(new Set(shown).size).toBe(shown.length);
        for (const { path, startLine, endLine, text } of results)
          expect(text).toBe(linesOf(path, startLine, endLine));
      }),
    );
  });

  test('nothing that was found is lost where the limit leaves room', () => {
    fc.assert(
      fc.property(found, (list) => {
        const results = arrange(list, { limit: 100, ...all });
        const covered = results.flatMap((result) => [result, ...result.duplicates]);
        for (const { repo, path, startLine, endLine } of list)
          expect(
            covered.some(
              (one) =>
                one.repo === repo &&
                one.path === path &&
                one.startLine <= startLine &&
                one.endLine >= endLine,
            ),
          ).toBe(true);
      }),
    );
  });
});
