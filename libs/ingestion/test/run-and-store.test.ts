import { watchedStore } from '@embergate/testing/watched-store.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderSource } from '../src/folder-source.ts';
import { createRunBench, pythonFile, pythonFiles, type RunBench } from './run-bench.ts';

describe('an index run', () => {
  let bench: RunBench;
  beforeEach(async () => {
    bench = await createRunBench(pythonFiles(3));
    await bench.run('r1');
  });
  afterEach(() => bench.remove());

  it('of a repo that is known reads its rows before and after, and looks for no rows without vectors', async () => {
    const calls: string[] = [];
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await bench.runOn(
      watchedStore(bench.store, {}, (name) => calls.push(name)),
      'r2',
    );
    const count = (name: string): number => calls.filter((one) => one === name).length;
    expect([count('stamps'), count('unembedded'), count('listCollections')]).toEqual([2, 0, 0]);
    expect(await bench.visibleCount()).toBe(4);
  });

  it('looks for known vectors in a collection that others have filled, and not in one that is its own', async () => {
    const calls: string[] = [];
    const watched = watchedStore(bench.store, {}, (name) => calls.push(name));
    await bench.runOn(watched, 'alone', { collection: 'new' });
    expect(calls).not.toContain('vectorsByHash');
    bench.embedded = [];
    await bench.runOn(watched, 'beside', { collection: 'new', repo: 'branch' });
    expect(calls).toContain('vectorsByHash');
    expect(bench.embedded).toEqual([]);
  });

  it('whose rows the store has lost on the way publishes nothing and says how many', async () => {
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    const losing = watchedStore(bench.store, { upsertRows: () => Promise.resolve() });
    await expect(bench.runOn(losing, 'r2')).rejects.toMatchObject({
      code: 'index_failed',
      message: 'The store holds 3 chunks where 4 were found; nothing was published.',
    });
    expect(await bench.visibleCount()).toBe(3);
  });

  it('makes its collection once more where another job found it empty and dropped it as this one began', async () => {
    let drops = 1;
    const dropping = watchedStore(bench.store, {
      clearRemovedMarks: async (collection, runId) => {
        if (drops-- > 0) await bench.store.dropCollection(collection);
        await bench.store.clearRemovedMarks(collection, runId);
      },
    });
    await bench.runOn(dropping, 'r2');
    expect(await bench.states()).toEqual({ r2: 'committed' });
    expect(await bench.visibleCount()).toBe(3);
  });

  it('asks once how large its folder is, for the estimate and for its progress', async () => {
    const source = await FolderSource.open(bench.tree.root, bench.chunker);
    const { files, bytes } = await source.sample(Infinity);
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    expect([files, await source.sizeBytes()]).toEqual([3, bytes]);
  });
});
