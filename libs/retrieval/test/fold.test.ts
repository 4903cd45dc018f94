import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fold } from '../src/fold.ts';
import { chunk, linesOf, paths } from './found-chunks.ts';

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
