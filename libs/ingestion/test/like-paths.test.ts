import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LikePaths } from '../src/like-paths.ts';

const folders = Array.from({ length: 500 }, (_, at) => `pkg${String(at).padStart(3, '0')}`);

describe('where a file may have been before', () => {
  test.each([
    [
      'its folder was moved',
      (name: string) => `src/${name}/index.ts`,
      'lib/pkg250/index.ts',
      'src/pkg250/index.ts',
    ],
    [
      'a folder in between got another name',
      (name: string) => `${name}/old/index.ts`,
      'pkg250/new/index.ts',
      'pkg250/old/index.ts',
    ],
    [
      'it got another name',
      (name: string) => `src/${name}/main.go`,
      'src/pkg250/server.go',
      'src/pkg250/main.go',
    ],
    ['a folder was put around all', (name: string) => `${name}/a.py`, 'packages/pkg250/a.py', 'pkg250/a.py'],
  ])('is told of 500 paths when %s', (_what, pathOf, now, before) => {
    expect(new LikePaths(folders.map(pathOf)).of(now)[0]).toBe(before);
  });

  test.each([
    ['the whole was put into a folder', 'sub/index.ts', 'index.ts', ['a/index.ts', 'b/index.ts']],
    [
      'and there are twins further down',
      'src/core/init.py',
      'core/init.py',
      ['legacy/core/init.py', 'init.py'],
    ],
    ['a file name is common', 'a/new/index.ts', 'a/old/index.ts', ['b/new/index.ts.bak', 'b/old/index.ts']],
  ])('is told by whole folders: %s', (_what, now, before, others) => {
    expect(new LikePaths([...others, before]).of(now)[0]).toBe(before);
  });

  test('is told when a folder in between was renamed in each of many packages of like files', () => {
    const names = Array.from({ length: 15 }, (_, at) => `name${at}.ts`);
    const before = folders.flatMap((folder) => names.map((name) => `packages/${folder}/src/${name}`));
    const all = new LikePaths(before);
    for (const path of before) expect(all.of(path.replace('/src/', '/lib/'))[0]).toBe(path);
  });

  test('is looked for among a few, whatever their number', () => {
    const all = new LikePaths(folders.map((name) => `${name}/index.ts`));
    expect(all.of('new/index.ts').length).toBeLessThanOrEqual(64);
    expect(all.of('').length).toBeLessThanOrEqual(64);
    expect(new LikePaths([]).of('a.ts')).toEqual([]);
  });

  test('of a few paths is all of them, in an order that depends on nothing else', () => {
    const paths = fc.uniqueArray(fc.string({ unit: 'binary' }), { maxLength: 64 });
    fc.assert(
      fc.property(paths, fc.string({ unit: 'binary' }), (gone, path) => {
        const near = new LikePaths(gone).of(path);
        expect(near.toSorted()).toEqual(gone.toSorted());
        expect(new LikePaths(gone.toReversed()).of(path)).toEqual(near);
        if (gone.includes(path)) expect(near[0]).toBe(path);
      }),
    );
  });
});
