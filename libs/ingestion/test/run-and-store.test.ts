import { createHash } from 'node:crypto';
import { watchedStore } from '@embergate/testing/watched-store.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChunkPage, ChunkSource } from '../src/chunk-source.ts';
import { FolderSource } from '../src/folder-source.ts';
import { createRunBench, fakeVector, pythonFile, pythonFiles, type RunBench } from './run-bench.ts';

/** A source in memory whose chunks bring their vectors along. */
function chunksMadeElsewhere(count: number): ChunkSource {
  async function* read(): AsyncGenerator<ChunkPage> {
    for (let at = 0; at < count; at++) {
      const text = `chunk ${at}`;
      const embeddedHash = createHash('sha256').update(text).digest('hex');
      const lines = { startLine: 1, endLine: 1 };
      const about = { path: `src/${at}.txt`, language: 'text', symbol: '', kind: null, ...lines };
      const chunk = { ...about, text, embeddedText: text, embeddedHash, vector: fakeVector(text) };
      yield { chunks: [chunk], files: 1, bytes: text.length };
    }
  }
  return {
    repeated: 'refused',
    sizeBytes: () => Promise.resolve(count),
    read,
    expectUnchanged: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

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

  it('has the store optimised on its way: each write may leave something that all later ones open', async () => {
    const batches = 140;
    let writes = 0;
    const writesAtOptimize: number[] = [];
    const watched = watchedStore(bench.store, {
      // What is written does not matter here, and takes its time.
      upsertRows: () => Promise.resolve(void (writes += 1)),
      optimize: () => Promise.resolve(void writesAtOptimize.push(writes)),
    });
    const openSource = () => Promise.resolve(chunksMadeElsewhere(batches * 256));
    const run = bench.runOn(watched, 'large', { repo: 'large', openSource });
    await expect(run).rejects.toMatchObject({ code: 'index_failed' });
    expect(writes).toBe(batches);
    expect(writesAtOptimize).toEqual([128]);
  });

  it('asks once how large its folder is, for the estimate and for its progress', async () => {
    const source = await FolderSource.open(bench.tree.root, bench.chunker);
    const { files, bytes } = await source.sample(Infinity);
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    expect([files, await source.sizeBytes()]).toEqual([3, bytes]);
  });
});
