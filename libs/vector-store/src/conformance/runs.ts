import { describe, expect, test } from 'vitest';
import type { ChunkRow } from '../store.ts';
import { everything, idsOf, pathsOf, visiblePaths, allStamps, type Stores } from './context.ts';
import { row, run, space, vectorOf } from './samples.ts';
import { keepSearching } from './searching.ts';

export function describeRuns(stores: Stores): void {
  describeRunsOver(stores, { title: 'index runs', settle: async () => undefined });
  // What an index answers and what a scan answers are two code paths of most stores.
  describeRunsOver(stores, {
    title: 'index runs over an optimised collection',
    settle: () => stores.writer.optimize('default'),
  });
}

function describeRunsOver(stores: Stores, part: { title: string; settle: () => Promise<void> }): void {
  describe(part.title, () => {
    const before = row({ path: 'kept.ts', text: 'kept' });
    const old = row({ path: 'old.ts', text: 'old' });
    const fresh = row({ path: 'fresh.ts', text: 'fresh', addedBy: 'run-1' });

    /** A re-index that keeps one file, drops one and adds one, and has not been published. */
    async function startReindex(): Promise<void> {
      const { writer } = stores;
      await writer.upsertRows('default', [before, old]);
      await part.settle();
      await writer.putRun(run('run-1', 'pending'));
      await writer.upsertRows('default', [fresh]);
      await writer.markRemoved('default', [old.id, 'unknown-id'], 'run-1');
      await part.settle();
    }

    test('change nothing that a search sees until they are committed, and then all of it at once', async () => {
      const { writer, reader } = stores;
      await startReindex();
      expect(await visiblePaths(stores)).toEqual(['kept.ts', 'old.ts']);
      expect(await reader.countByRepo('default')).toEqual([{ repo: 'app', chunks: 2 }]);
      expect(pathsOf(await reader.searchLexical('default', 'fresh old', everything))).toEqual(['old.ts']);
      expect(await reader.readChunks('default', { id: fresh.id })).toEqual([]);

      await writer.putRun(run('run-1', 'committed'));
      expect(await visiblePaths(stores)).toEqual(['fresh.ts', 'kept.ts']);
      expect(await reader.countByRepo('default')).toEqual([{ repo: 'app', chunks: 2 }]);
      expect(pathsOf(await reader.searchLexical('default', 'fresh old', everything))).toEqual(['fresh.ts']);
      expect(await reader.readChunks('default', { id: old.id })).toEqual([]);
    });

    test('show to a search that asks for it what they will be when they are committed', async () => {
      const { writer, reader } = stores;
      await startReindex();
      const how = { ...everything, asIfCommitted: 'run-1' };
      expect(pathsOf(await reader.searchLexical('default', 'fresh old', how))).toEqual(['fresh.ts']);
      expect(pathsOf(await reader.searchDense('default', vectorOf(1), how))).toEqual(['fresh.ts', 'kept.ts']);
      expect(await visiblePaths(stores)).toEqual(['kept.ts', 'old.ts']);
      await writer.putRun(run('run-1', 'committed'));
      expect(pathsOf(await reader.searchLexical('default', 'fresh old', how))).toEqual(['fresh.ts']);
    });

    test('are told by searches: both kinds say one word while nothing is published, and another one after', async () => {
      const { writer, reader } = stores;
      await startReindex();
      const words = async (): Promise<string[]> => {
        const said: string[] = [];
        const how = { ...everything, onAsOf: (word: string) => void said.push(word) };
        await reader.searchLexical('default', 'old', how);
        await reader.searchDense('default', vectorOf(1), how);
        return said;
      };
      const [before, again] = await words();
      expect(again).toBe(before);
      await writer.putRun(run('run-1', 'committed'));
      const [after, twice] = await words();
      expect(twice).toBe(after);
      expect(after).not.toBe(before);
    });

    test('leave the same picture when they are swept', async () => {
      const { writer, reader } = stores;
      await startReindex();
      await writer.putRun(run('run-1', 'committed'));
      await writer.deleteRows('default', { removedBy: 'run-1' });
      await writer.deleteRun('default', 'run-1');
      expect(await visiblePaths(stores)).toEqual(['fresh.ts', 'kept.ts']);
      expect(await reader.listRuns('default')).toEqual([]);
      expect(pathsOf(await allStamps(reader, 'app'))).toEqual(['fresh.ts', 'kept.ts']);
    });

    test('leave no trace when they are cancelled', async () => {
      const { writer, reader } = stores;
      await startReindex();
      await writer.putRun(run('run-1', 'cancelled'));
      expect(await visiblePaths(stores)).toEqual(['kept.ts', 'old.ts']);
      await writer.deleteRows('default', { addedBy: 'run-1' });
      await writer.clearRemovedMarks('default', 'run-1');
      await writer.deleteRun('default', 'run-1');
      expect(await visiblePaths(stores)).toEqual(['kept.ts', 'old.ts']);
      const stamps = await allStamps(reader, 'app');
      expect(stamps.map((stamp) => stamp.removedBy)).toEqual([null, null]);
    });

    test('of other repos and collections do not disturb each other', async () => {
      const { writer, reader } = stores;
      await writer.ensureCollection('other', space);
      await startReindex();
      await writer.putRun(run('run-2', 'pending', { repo: 'lib' }));
      await writer.upsertRows('default', [row({ repo: 'lib', path: 'lib.ts', addedBy: 'run-2' })]);
      await writer.upsertRows('other', [row({ path: 'elsewhere.ts', addedBy: 'run-1' })]);
      await writer.putRun(run('run-2', 'committed', { repo: 'lib' }));
      expect(await visiblePaths(stores)).toEqual(['kept.ts', 'lib.ts', 'old.ts']);
      expect(pathsOf(await reader.searchDense('other', vectorOf(1), everything))).toEqual(['elsewhere.ts']);
    });

    test('a chunk that comes back after a committed run removed it is one visible row again', async () => {
      const { writer } = stores;
      await startReindex();
      await writer.putRun(run('run-1', 'committed'));
      await writer.putRun(run('run-2', 'pending'));
      await writer.upsertRows('default', [{ ...old, addedBy: 'run-2', removedBy: null }]);
      expect(await visiblePaths(stores)).toEqual(['fresh.ts', 'kept.ts']);
      await writer.putRun(run('run-2', 'committed'));
      expect(await visiblePaths(stores)).toEqual(['fresh.ts', 'kept.ts', 'old.ts']);
      expect(await stores.reader.countByRepo('default')).toEqual([{ repo: 'app', chunks: 3 }]);
    });

    test('that follow each other show one whole generation to a search at any moment', async () => {
      const { writer } = stores;
      const generation = (n: number): ChunkRow[] =>
        ['a', 'b', 'c'].map((file) =>
          row({ path: `${n}/${file}`, text: `${n} ${file}`, addedBy: `run-${n}` }),
        );
      await writer.upsertRows('default', generation(0));
      const searches = keepSearching(stores);
      for (let n = 1; n <= 12; n++) {
        await writer.putRun(run(`run-${n}`, 'pending'));
        for (const added of generation(n)) await writer.upsertRows('default', [added]);
        await writer.markRemoved('default', idsOf(generation(n - 1)), `run-${n}`);
        await writer.putRun(run(`run-${n}`, 'committed'));
        await writer.deleteRows('default', { removedBy: `run-${n}` });
        await writer.deleteRun('default', `run-${n}`);
        if (n % 4 === 0) await part.settle();
        await searches.next();
      }
      const seen = await searches.stop();
      for (const paths of seen) {
        const [first] = paths;
        expect(paths).toEqual(['a', 'b', 'c'].map((file) => `${first?.split('/')[0]}/${file}`));
      }
      expect(new Set(seen.flat()).size).toBeGreaterThan(12);
    });

    test('keep one record each, replaced in one step and listed for the collection only', async () => {
      const { writer, reader } = stores;
      await writer.ensureCollection('other', space);
      const hostile = run('it\'s "run" 🙂', 'pending', { repo: "o'repo", commit: 'abc' });
      await Promise.all([
        writer.putRun(hostile),
        reader.putRun(hostile),
        writer.putRun(run('r2', 'pending')),
      ]);
      await writer.putRun(run('r3', 'committed', { collection: 'other' }));
      await writer.putRun({ ...hostile, state: 'committed', finishedAt: '2026-01-02T00:00:00.000Z' });
      const runs = (await reader.listRuns('default')).sort((one, other) => (one.id < other.id ? -1 : 1));
      expect(runs).toEqual([
        { ...hostile, state: 'committed', finishedAt: '2026-01-02T00:00:00.000Z' },
        run('r2', 'pending'),
      ]);
      await writer.deleteRun('default', hostile.id);
      await writer.deleteRun('default', 'unknown');
      expect(idsOf(await reader.listRuns('default'))).toEqual(['r2']);
      expect(idsOf(await reader.listRuns('other'))).toEqual(['r3']);
    });
  });
}
