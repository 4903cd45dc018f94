import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arrange } from '../src/arrange.ts';
import { chunk, linesOf } from './found-chunks.ts';

const all = { fold: true, diversify: true, merge: true };
const none = { fold: false, diversify: false, merge: false };

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
