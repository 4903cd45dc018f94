import { describe, expect, test } from 'vitest';
import type { CollectionSpaces } from '../store.ts';
import { successorName } from '../successor.ts';
import { allVisibleRows, everything, expectCode, idsOf, visiblePaths, type Stores } from './context.ts';
import { otherSpace, row, run, smallSpace, space, vectorOf } from './samples.ts';
import { keepSearching } from './searching.ts';

const oneSpace: CollectionSpaces = { space, secondSpace: null };

export function describeSuccessors(stores: Stores): void {
  const becomes = (paths: string[]): Promise<void> =>
    expect.poll(() => visiblePaths(stores), { interval: 20, timeout: 5_000 }).toEqual(paths);

  async function build(id: string, paths: string[], spaces = oneSpace): Promise<void> {
    const { writer } = stores;
    expect(await writer.createSuccessor('default', id, spaces)).toBe('building');
    await writer.upsertRows(
      successorName('default', id),
      paths.map((path) => row({ path, addedBy: 'run-1' })),
    );
  }

  describe('a collection that is rebuilt', () => {
    test('answers as before from what it was, and from one step on as what was built beside it', async () => {
      const { writer, reader } = stores;
      await writer.putRun(run('run-1', 'committed', { commit: 'abc' }));
      await writer.upsertRows('default', [row({ path: 'old.ts' })]);
      await build('next', ['new.ts', 'newer.ts'], { space: otherSpace, secondSpace: null });
      expect(await visiblePaths(stores)).toEqual(['old.ts']);
      expect((await reader.listCollections()).map(({ name }) => name)).toEqual(['default']);
      expect(await reader.listSuccessors()).toMatchObject([{ name: 'default', id: 'next' }]);
      const successor = successorName('default', 'next');
      expect(await reader.countByRepo(successor)).toEqual([{ repo: 'app', chunks: 2 }]);

      await writer.replaceBySuccessor('default', 'next');
      await becomes(['new.ts', 'newer.ts']);
      expect(await reader.listCollections()).toMatchObject([{ name: 'default', space: otherSpace }]);
      expect(await reader.listSuccessors()).toEqual([]);
      expect(await reader.listRuns('default')).toEqual([run('run-1', 'committed', { commit: 'abc' })]);
      await expectCode(reader.ensureCollection('default', space), 'space_mismatch');
      await writer.ensureCollection('default', otherSpace);
      await writer.removeReplaced(0);
      expect(await visiblePaths(stores)).toEqual(['new.ts', 'newer.ts']);
      await writer.putRun(run('run-2', 'pending'));
      await writer.upsertRows('default', [row({ path: 'later.ts', addedBy: 'run-2' })]);
      expect(await visiblePaths(stores)).toEqual(['new.ts', 'newer.ts']);
      await writer.putRun(run('run-2', 'committed'));
      expect(await visiblePaths(stores)).toEqual(['later.ts', 'new.ts', 'newer.ts']);
    });

    test('by a job that is killed and comes again loses nothing and is replaced once', async () => {
      const { writer, reader } = stores;
      await writer.upsertRows('default', [row({ path: 'old.ts' })]);
      await build('first', ['a.ts']);
      await build('first', ['b.ts']);
      await expectCode(
        reader.createSuccessor('default', 'first', { space, secondSpace: smallSpace }),
        'space_mismatch',
      );
      for (let times = 0; times < 2; times++) await writer.replaceBySuccessor('default', 'first');
      await becomes(['a.ts', 'b.ts']);
      expect(await reader.createSuccessor('default', 'first', oneSpace)).toBe('replaced');
      expect(await reader.dropSuccessor('default', 'first')).toBe('replaced');
      await expectCode(
        writer.upsertRows(successorName('default', 'first'), [row({ path: 'stray.ts' })]),
        'collection_not_found',
      );

      await build('second', ['c.ts']);
      await writer.replaceBySuccessor('default', 'second');
      for (const sweep of [false, true]) {
        if (sweep) await writer.removeReplaced(0);
        await writer.replaceBySuccessor('default', 'first');
        expect(await reader.createSuccessor('default', 'first', oneSpace)).toBe('replaced');
        await reader.dropSuccessor('default', 'second');
        await becomes(['c.ts']);
      }
    });

    test('is searched without a failure meanwhile, and each search sees one of both', async () => {
      const { writer } = stores;
      const generation = (n: number): string[] => ['a', 'b', 'c'].map((file) => `${n}/${file}`);
      await writer.upsertRows(
        'default',
        generation(0).map((path) => row({ path })),
      );
      const searches = keepSearching(stores);
      for (let n = 1; n <= 3; n++) {
        await build(`build-${n}`, generation(n));
        await writer.replaceBySuccessor('default', `build-${n}`);
        await writer.removeReplaced(60_000);
        await becomes(generation(n));
        await searches.next();
      }
      const seen = await searches.stop();
      expect(new Set(seen.map(String))).toEqual(new Set([0, 1, 2, 3].map((n) => String(generation(n)))));
    });

    test('and given up stays what it was', async () => {
      const { writer, reader } = stores;
      await writer.upsertRows('default', [row({ path: 'old.ts' })]);
      await build('next', ['new.ts']);
      const successor = successorName('default', 'next');
      for (let times = 0; times < 2; times++)
        expect(await writer.dropSuccessor('default', 'next')).toBe('dropped');
      expect(await reader.listSuccessors()).toEqual([]);
      for (const call of [
        () => writer.upsertRows(successor, [row()]),
        () => writer.ensureCollection(successor, space),
        () => writer.replaceBySuccessor('default', 'next'),
        () => reader.searchDense(successor, vectorOf(1), everything),
      ])
        await expectCode(call(), 'collection_not_found');
      expect(await visiblePaths(stores)).toEqual(['old.ts']);
    });

    test('and dropped takes all of it along, and a new one of its name starts empty', async () => {
      const { writer, reader } = stores;
      await writer.ensureCollection('default-2', space);
      await writer.upsertRows('default', [row({ path: 'old.ts' })]);
      await build('first', ['a.ts']);
      await writer.replaceBySuccessor('default', 'first');
      await build('second', ['b.ts']);
      await writer.dropCollection('default');
      await expectCode(writer.dropCollection('default'), 'collection_not_found');
      await expectCode(reader.searchDense('default', vectorOf(1), everything), 'collection_not_found');
      await expectCode(writer.replaceBySuccessor('default', 'second'), 'collection_not_found');
      expect((await reader.listCollections()).map(({ name }) => name)).toEqual(['default-2']);
      expect(await reader.listSuccessors()).toEqual([]);
      await writer.ensureCollection('default', otherSpace);
      expect(await visiblePaths(stores)).toEqual([]);
      await writer.upsertRows('default', [row({ path: 'new.ts' })]);
      await writer.removeReplaced(0);
      expect(await visiblePaths(stores)).toEqual(['new.ts']);
    });

    test('has no runs of its own and no name of a user', async () => {
      const { writer, reader } = stores;
      await build('next', []);
      const successor = successorName('default', 'next');
      await expectCode(writer.putRun(run('r', 'pending', { collection: successor })), 'invalid_request');
      for (const id of ['', 'a.b', 'a/b', '..', 'x'.repeat(65)]) {
        await expectCode(
          Promise.resolve().then(() => reader.createSuccessor('default', id, oneSpace)),
          'invalid_request',
        );
      }
    });
  });

  describe('reading all visible rows', () => {
    test('brings each of them whole, in pages, while rows come and go', async () => {
      const { writer, reader } = stores;
      const long = '漢'.repeat(20_000);
      const rows = Array.from({ length: 700 }, (_, n) =>
        row({ path: `src/${n}.ts`, text: n % 10 === 0 ? long + n : `text ${n}`, embeddedHash: `h${n}` }),
      );
      await writer.upsertRows('default', rows);
      await writer.upsertRows('default', [
        row({ path: 'removed.ts', removedBy: 'done' }),
        row({ path: 'hidden.ts', addedBy: 'pending' }),
      ]);
      await writer.putRun(run('done', 'committed'));
      await writer.putRun(run('pending', 'pending'));
      const pages = reader.visibleRows('default')[Symbol.asyncIterator]();
      const first = await pages.next();
      await writer.upsertRows('default', [{ ...row({ path: 'late.ts' }), addedBy: 'pending' }]);
      await writer.optimize('default');
      const read = first.done === true ? [] : [first.value];
      for (let page = await pages.next(); page.done !== true; page = await pages.next())
        read.push(page.value);
      expect(read.length).toBeGreaterThan(2);
      expect(Math.max(...read.map((page) => page.length))).toBeLessThanOrEqual(256);
      expect(idsOf(read.flat())).toEqual(idsOf(rows));
      for (const { lexicalText: _lexical, ...written } of rows.slice(0, 20)) {
        expect(read.flat().find(({ id }) => id === written.id)).toEqual({ ...written, lexical: true });
      }
      expect(await allVisibleRows(reader, 'default')).toHaveLength(700);
    });
  });
}
