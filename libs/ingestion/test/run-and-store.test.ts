import { createHash } from 'node:crypto';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { watchedStore } from '@embergate/testing/watched-store.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChunkPage, ChunkSource } from '../src/chunk-source.ts';
import { FolderSource } from '../src/folder-source.ts';
import { SPACE, createRunBench, fakeVector, pythonFile, pythonFiles, type RunBench } from './run-bench.ts';

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
    const callsOfWrites = (): string[] => {
      const all = calls.splice(0);
      return all.slice(0, all.lastIndexOf('upsertRows'));
    };
    await bench.runOn(watched, 'alone', { collection: 'new' });
    expect(callsOfWrites()).not.toContain('vectorsByHash');
    bench.embedded = [];
    await bench.runOn(watched, 'beside', { collection: 'new', repo: 'branch' });
    expect(callsOfWrites()).toContain('vectorsByHash');
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

  type Replacing = (store: VectorStore) => Partial<VectorStore>;
  const lost: [string, string, Replacing][] = [
    ['full text', 'not', () => ({ searchLexical: () => Promise.resolve([]) })],
    ['dense search', 'not', () => ({ searchDense: () => Promise.resolve([]) })],
    [
      'dense search',
      'only other chunks of',
      (store) => ({
        searchDense: async (...search) =>
          (await store.searchDense(...search)).map((chunk) => ({ ...chunk, id: 'x', text: 'another' })),
      }),
    ],
  ];
  it.each(lost)('that %s would find %s publishes nothing and says so', async (search, _what, replacing) => {
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await expect(bench.runOn(watchedStore(bench.store, replacing(bench.store)), 'r2')).rejects.toMatchObject({
      code: 'index_failed',
      message: `Of 4 chunks of this run ${search} finds 0; nothing was published.`,
    });
    expect(await bench.visibleCount()).toBe(3);
  });

  it('that makes other vectors of the same texts than before is published, as each is looked for by its own', async () => {
    const turned = watchedStore(bench.store, {
      upsertRows: (collection, rows) =>
        bench.store.upsertRows(
          collection,
          rows.map((each) => ({ ...each, vector: each.vector?.toReversed() ?? null })),
        ),
    });
    await bench.runOn(turned, 'r2', { mode: 'full' });
    expect(await bench.states()).toMatchObject({ r2: 'committed' });
  });

  it('with files named like globs, from elsewhere, or without words is found all the same', async () => {
    await bench.tree.write({ 'src/[id]*.py': pythonFile('star'), 'a/?/!.py': '1\n', '*/-': '+\n' });
    await bench.run('r2');
    expect(await bench.states()).toMatchObject({ r2: 'committed' });
  });

  it('publishes nothing in a collection that was made anew, of another space, meanwhile', async () => {
    const other = { ...SPACE, revision: '2' };
    const store = watchedStore(bench.store, {
      getCollection: async (name) => ({ ...(await bench.store.getCollection(name)), space: other }),
    });
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await expect(bench.runOn(store, 'r2')).rejects.toMatchObject({ code: 'space_mismatch' });
    expect(await bench.visibleCount()).toBe(3);
  });

  const steps = [
    'optimize',
    'stamps',
    'getCollection',
    'searchLexical',
    'vectorsById',
    'searchDense',
  ] as const;
  it.each(steps)(
    'cancelled in the last moment before it is published, in %s, publishes nothing',
    async (step) => {
      const cancel = new AbortController();
      let isPublishing = false;
      const watched = watchedStore(bench.store, {}, (name) => {
        if (isPublishing && name === step) cancel.abort('cancelled');
      });
      await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
      const run = bench.runOn(watched, 'r2', {
        signal: cancel.signal,
        onProgress: (_progress, _skipped, state) => void (isPublishing ||= state === 'publishing'),
      });
      await expect(run).rejects.toBe('cancelled');
      expect(await bench.states()).toMatchObject({ r2: 'pending' });
      expect(await bench.visibleCount()).toBe(3);
    },
  );

  it('cancelled while the step that publishes it is under way is published whole', async () => {
    const cancel = new AbortController();
    const watched = watchedStore(bench.store, {
      putRun: async (run) => {
        if (run.state === 'committed') cancel.abort('cancelled');
        await bench.store.putRun(run);
      },
    });
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await bench.runOn(watched, 'r2', { signal: cancel.signal });
    expect(await bench.states()).toMatchObject({ r2: 'committed' });
    expect(await bench.visibleCount()).toBe(4);
  });

  it('whose rows were written over by an attempt that had lost it publishes no row without its vector', async () => {
    const overwritten = watchedStore(bench.store, {
      upsertRows: async (collection, rows) => {
        await bench.store.upsertRows(collection, rows);
        const late = rows.map((row) => ({ ...row, vector: null }));
        if (rows.some(({ vector }) => vector)) await bench.store.upsertRows(collection, late);
      },
    });
    await expect(bench.runOn(overwritten, 'first', { repo: 'other' })).rejects.toMatchObject({
      code: 'index_failed',
      message: 'The store has lost vectors of this run; nothing was published.',
    });
    const { first } = await bench.states();
    expect(first).toBe('embedding');
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
