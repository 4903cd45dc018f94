import { mkdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { watchedStore } from '@embergate/testing/watched-store.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COLLECTION, createRunBench, fakeEmbedding, SPACE, type RunBench } from './run-bench.ts';

const FILES = 12;
const body = (name: string): string =>
  ['open', 'read', 'close']
    .map((verb) => `def ${verb}_${name}(value):\n${`    value = value + "${verb} ${name}"\n`.repeat(30)}`)
    .join('\n\n');
const files = Object.fromEntries(Array.from({ length: FILES }, (_, at) => [`src/f${at}.py`, body(`f${at}`)]));

describe('a file that was moved', () => {
  let bench: RunBench;
  let chunksOfFile: number;
  beforeEach(async () => {
    bench = await createRunBench(files);
    await bench.run('r1');
    chunksOfFile = (await bench.visibleCount()) / FILES;
    expect(chunksOfFile).toBeGreaterThan(1);
    bench.embedded = [];
  });
  afterEach(() => bench.remove());

  async function move(from: string, to: string): Promise<void> {
    await mkdir(dirname(join(bench.tree.root, to)), { recursive: true });
    await rename(join(bench.tree.root, from), join(bench.tree.root, to));
  }

  /** What each visible chunk's vector was made of, in an order of its own. */
  async function hashesAt(path: string): Promise<string[]> {
    const ids = (await bench.store.readChunks(COLLECTION, { repo: 'sample', path })).map(({ id }) => id);
    const vectors = await bench.store.vectorsById(COLLECTION, ids);
    return ids.map((id) => vectors.get(id)?.embeddedHash ?? '').sort();
  }

  it('keeps its vectors, and is found where it is now and no longer where it was', async () => {
    const before = await hashesAt('src/f1.py');
    await move('src/f1.py', 'lib/deep/f1.py');
    expect(await bench.estimate()).toMatchObject({ reused: FILES * chunksOfFile, embedded: 0, tokens: 0 });
    await bench.run('r2');
    expect(bench.embedded).toEqual([]);
    expect(await hashesAt('lib/deep/f1.py')).toEqual(before);
    expect(await hashesAt('src/f1.py')).toEqual([]);
    expect(await bench.visibleCount()).toBe(FILES * chunksOfFile);
    // There now, like any other.
    await bench.run('r3');
    expect(bench.embedded).toEqual([]);
    expect((await bench.rows()).filter(({ addedBy }) => addedBy === 'r3')).toEqual([]);
  });

  it('keeps them when its whole folder is moved, when it is moved again, and when it gets another name', async () => {
    await move('src', 'packages/core/src');
    await bench.run('r2');
    await move('packages/core/src', 'core');
    await bench.run('r3');
    await move('core/f3.py', 'core/renamed.py');
    await bench.run('r4');
    expect(bench.embedded).toEqual([]);
    expect(await bench.visibleCount()).toBe(FILES * chunksOfFile);
  });

  it('of which a part was changed has that part embedded, though the lines of the rest are others now', async () => {
    await move('src/f1.py', 'lib/f1.py');
    const changed = body('f1').replace('def read_f1', 'def peek_f1');
    await bench.tree.write({ 'lib/f1.py': `import os\n\n\n${changed}` });
    await bench.run('r2');
    expect(bench.embedded.map((text) => text.split('\n')[0])).toEqual(
      expect.arrayContaining(['lib/f1.py peek_f1']),
    );
    expect(bench.embedded.join('\n')).not.toMatch(/def (open|close)_f1/);
  });

  it('in a git work tree keeps them too, whether git has been told or not', async () => {
    bench.tree.git('init', '-q');
    bench.tree.git('add', '.');
    bench.tree.git('commit', '-qm', 'first');
    await move('src/f1.py', 'lib/f1.py');
    bench.tree.git('mv', 'src/f2.py', 'lib/f2.py');
    await bench.run('r2');
    expect(bench.embedded).toEqual([]);
  });

  it('keeps them in both spaces of a collection that has two', async () => {
    const small = { ...SPACE, model: 'small', dimensions: 4 };
    const seconds: string[] = [];
    const parts = {
      store: bench.store,
      ...fakeEmbedding(SPACE, (texts) => void seconds.push(...texts)),
      second: fakeEmbedding(small, (texts) => void seconds.push(...texts)),
    };
    await bench.store.ensureCollection('two', SPACE, small);
    await bench.run('r1', { collection: 'two' }, parts);
    expect(seconds.splice(0).length).toBe(2 * FILES * chunksOfFile);
    await move('src/f1.py', 'lib/f1.py');
    await bench.run('r2', { collection: 'two' }, parts);
    expect(seconds).toEqual([]);
  });

  describe('whose run is killed', () => {
    /** Enough for several writes. Two chunks read the same, far from each other, and the first of them has moved within its file. */
    const long = (state: 'before' | 'after'): string => {
      const between = Array.from({ length: 110 }, (_, at) => body(`g${at}`));
      const [first, later] = state === 'before' ? [[], ['import os']] : [['import os'], []];
      const parts = [
        ...first,
        body('twin'),
        ...between.slice(0, 9),
        ...later,
        ...between.slice(9),
        body('twin'),
      ];
      return parts.join('\n\n');
    };
    const rowsNow = async (): Promise<[string, string | undefined][]> => {
      const ids = (await bench.rows()).flatMap(({ id, removedBy }) => (removedBy === null ? [id] : []));
      const vectors = await bench.store.vectorsById(COLLECTION, ids);
      return ids.map((id) => [id, vectors.get(id)?.embeddedHash]);
    };
    /** Moved twice, so that what the rows were embedded as is neither here nor at the path before. */
    async function movedTwice(): Promise<void> {
      await bench.remove();
      bench = await createRunBench({ ...files, 'core/long.py': long('before') });
      await bench.run('r1');
      await move('core', 'first');
      await bench.run('r2');
      await move('first', 'second');
      await bench.tree.write({ 'second/long.py': long('after') });
      bench.embedded = [];
    }

    it('between two writes has the same rows, and what they were embedded as, as after one that was not', async () => {
      await movedTwice();
      await bench.run('r3');
      const [rows, embedded] = [await rowsNow(), new Set(bench.embedded)];
      await movedTwice();
      let writes = 0;
      const dying = watchedStore(bench.store, {
        upsertRows: (collection, rows) =>
          writes++ === 0 ? bench.store.upsertRows(collection, rows) : Promise.reject(new Error('killed')),
      });
      await expect(bench.runOn(dying, 'r3')).rejects.toThrow('killed');
      const written = (await bench.rows()).filter(({ addedBy }) => addedBy === 'r3').length;
      expect(written).toBeGreaterThan(0);
      await bench.run('r3');
      expect(await rowsNow()).toEqual(rows);
      expect(new Set(bench.embedded)).toEqual(embedded);
    });
  });

  it('gets vectors of its own by a full run', async () => {
    await move('src/f1.py', 'lib/f1.py');
    await bench.run('r2');
    await bench.run('r3', { mode: 'full' });
    expect(bench.embedded).toHaveLength(FILES * chunksOfFile);
    expect(bench.embedded.filter((text) => text.startsWith('lib/f1.py '))).toHaveLength(chunksOfFile);
    bench.embedded = [];
    await move('lib/f1.py', 'f1.py');
    await bench.run('r4');
    expect(bench.embedded).toEqual([]);
  });

  it('is not mistaken: a copy of a file that is still there, and a new file where another was deleted, are embedded', async () => {
    await bench.tree.write({ 'lib/copy.py': body('f2') });
    await bench.run('r2');
    expect(bench.embedded).toHaveLength(chunksOfFile);
    bench.embedded = [];
    await move('src/f1.py', 'src/f1.bin');
    await bench.tree.write({ 'lib/f1.py': body('other'), '.gitignore': '*.bin\n' });
    await bench.run('r3');
    expect(bench.embedded.filter((text) => text.startsWith('lib/f1.py '))).toHaveLength(chunksOfFile);
  });
});
