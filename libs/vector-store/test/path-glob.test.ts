import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { foldersOf, indexablePart, matchesPathGlob, parsePathGlob, pathGlobRegex } from '../src/path-glob.ts';

const matches = (glob: string, path: string): boolean => matchesPathGlob(parsePathGlob(glob), path);

/** Small inputs only: the safe matcher is there because JavaScript's is not. */
const matchesByRegex = (glob: string, path: string): boolean =>
  new RegExp(
    pathGlobRegex(parsePathGlob(glob))
      .replace('(?s)', '')
      .replaceAll('\\#', '#')
      .replaceAll('\\&', '&')
      .replaceAll('\\~', '~')
      .replaceAll('\\-', '-'),
    'su',
  ).test(path);

describe('a path filter means what its author wrote', () => {
  test.each([
    ['src/**', 'src/a.ts', true],
    ['src/**', 'src/deep/er/a.ts', true],
    ['src/**', 'src', false],
    ['src/**', 'other/src/a.ts', false],
    ['src/', 'src/deep/a.ts', true],
    ['./src/*.ts', 'src/a.ts', true],
    ['/src/*.ts', 'src/a.ts', true],
    ['src/*.ts', 'src/deep/a.ts', false],
    ['*.ts', 'a.ts', true],
    ['*.ts', 'src/a.ts', false],
    ['**/*.ts', 'a.ts', true],
    ['**/*.ts', 'src/deep/a.ts', true],
    ['**/test/**', 'test/a.ts', true],
    ['**/test/**', 'src/test/a.ts', true],
    ['**/test/**', 'src/latest/a.ts', false],
    ['src/**/a.ts', 'src/a.ts', true],
    ['src/**/a.ts', 'src/x/y/a.ts', true],
    ['src/**/a.ts', 'src/xa.ts', false],
    ['src/**/**/a.ts', 'src/x/a.ts', true],
    ['src**/a.ts', 'src2/x/a.ts', true],
    ['src**/a.ts', 'srca.ts', false],
    ['a?c.ts', 'abc.ts', true],
    ['a?c.ts', 'a/c.ts', false],
    ['a?c.ts', 'a🙂c.ts', true],
    ['**', 'anything/at/all', true],
    ['a.c', 'abc', false],
    ['a+(b)[c]{d}^$|\\.ts', 'a+(b)[c]{d}^$|\\.ts', true],
    ["it's 100%_.ts", "it's 100%_.ts", true],
    ['line\nbreak*', 'line\nbreak.ts', true],
    ['SRC/*', 'src/a', false],
  ])('%s on %s: %s', (glob, path, expected) => {
    expect(matches(glob, path)).toBe(expected);
    expect(matchesByRegex(glob, path)).toBe(expected);
  });

  test('the matcher and the regular expression agree on every glob', () => {
    const unit = fc.constantFrom('a', 'b', '/', '*', '?', '.', '\\', '🙂', '-');
    const letters = fc.string({ unit, maxLength: 8 });
    const paths = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', '🙂', '-'), maxLength: 8 });
    fc.assert(
      fc.property(letters, paths, (glob, path) => {
        expect(matches(glob, path)).toBe(matchesByRegex(glob, path));
      }),
      { numRuns: 3_000 },
    );
  });

  test('a hostile glob of a thousand stars costs milliseconds', () => {
    const start = performance.now();
    expect(matches('*a'.repeat(512), `${'a'.repeat(2_000)}b`)).toBe(false);
    expect(matches('**a'.repeat(341), `${'a/'.repeat(1_000)}b`)).toBe(false);
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});

describe('a store with an index of folders narrows the search first', () => {
  test.each([
    ['src/http/*.ts', { path: null, folder: 'src/http', complete: false }],
    ['src/http/**', { path: null, folder: 'src/http', complete: true }],
    ['src/ht*/x', { path: null, folder: 'src', complete: false }],
    ['**', { path: null, folder: '', complete: true }],
    ['**/x', { path: null, folder: '', complete: false }],
    ['src/a.ts', { path: 'src/a.ts', folder: '', complete: true }],
  ])('%s', (glob, expected) => {
    expect(indexablePart(parsePathGlob(glob))).toEqual(expected);
  });

  test('all matches of a glob lie in its folder', () => {
    expect(foldersOf('src/http/router.ts')).toEqual(['src', 'src/http']);
    expect(foldersOf('router.ts')).toEqual([]);
  });
});
