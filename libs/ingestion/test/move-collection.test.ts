import { AppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { IndexProgress, SkippedFile } from '@embergate/contracts/index-job.ts';
import { watchedStore } from '@embergate/testing/watched-store.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import { rename } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { moveCollection, type MoveParts, type MoveRequest } from '../src/move-collection.ts';
import { patientStore } from '../src/patient-store.ts';
import type { SpaceEmbedding } from '../src/run-request.ts';
import {
  COLLECTION,
  createRunBench,
  fakeEmbedding,
  fakeVector,
  pythonFile,
  pythonFiles,
  SPACE,
  type RunBench,
} from './run-bench.ts';

const OTHER: EmbeddingSpace = { ...SPACE, model: 'other', dimensions: 4 };
const FILES = 600;

let bench: RunBench;
/** Texts that the other model was given. */
let moved: string[];
let other: SpaceEmbedding;

beforeEach(async () => {
  bench = await createRunBench(pythonFiles(FILES));
  await bench.run('r1');
  bench.embedded = [];
  moved = [];
  other = fakeEmbedding(OTHER, (texts) => void moved.push(...texts));
});
afterEach(() => bench.remove());

const move = (request: Partial<MoveRequest> = {}, parts: Partial<MoveParts> = {}): Promise<void> =>
  moveCollection(
    { store: bench.store, first: other, second: null, ...parts },
    {
      moveId: 'job-1',
      collection: COLLECTION,
      signal: new AbortController().signal,
      onProgress: () => undefined,
      ...request,
    },
  );
const found = async (query: string): Promise<string[]> => {
  const options = { limit: 3, filter: {} };
  return (await bench.store.searchLexical(COLLECTION, lexicalText(query), options)).map(({ path }) => path);
};

describe('a collection that moves to another space', () => {
  it('holds the same chunks, each embedded once by the new model, and is searched by its vectors', async () => {
    const progress: IndexProgress[] = [];
    await move({ onProgress: (now) => progress.push(now) });
    expect(moved).toHaveLength(FILES);
    expect(new Set(moved).size).toBe(FILES);
    expect(bench.embedded).toEqual([]);
    expect(await bench.store.getCollection(COLLECTION)).toMatchObject({ space: OTHER, secondSpace: null });
    expect(await bench.visibleCount()).toBe(FILES);
    expect(progress.at(-1)).toMatchObject({ chunks: FILES, embedded: FILES, total: FILES });
    const [vector] = await other.embed([other.tokenize(moved[7] ?? '')], {
      texts: [moved[7] ?? ''],
      signal: new AbortController().signal,
      onEmbedded: () => undefined,
    });
    const [nearest] = await bench.store.searchDense(COLLECTION, vector as Float32Array, {
      limit: 1,
      filter: {},
    });
    expect(nearest?.score).toBeCloseTo(1, 4);
    expect(moved[7]).toContain(nearest?.text);
    expect(await found('f17')).toContain('src/f0017.py');
  });

  it('killed half-way, is searched as it was, and goes on where it stopped', async () => {
    const kill = new AbortController();
    other = fakeEmbedding(OTHER, (texts) => {
      moved.push(...texts);
      if (moved.length > FILES / 2) kill.abort('stopping');
    });
    await expect(move({ signal: kill.signal })).rejects.toBe('stopping');
    expect(await bench.store.getCollection(COLLECTION)).toMatchObject({ space: SPACE });
    expect(await found('f17')).toContain('src/f0017.py');
    const before = moved.length;
    other = fakeEmbedding(OTHER, (texts) => void moved.push(...texts));
    await move();
    expect(await bench.store.getCollection(COLLECTION)).toMatchObject({ space: OTHER });
    expect(await bench.visibleCount()).toBe(FILES);
    // What was written is not embedded again; what was under way may be.
    expect(moved.length - before).toBeLessThan(FILES);
  });

  it('whose store goes away in the middle of the pages embeds nothing twice, and counts nothing twice', async () => {
    let breaks = 1;
    const breaking = watchedStore(bench.store, {
      visibleRows: async function* (collection) {
        for await (const page of bench.store.visibleRows(collection)) {
          yield page;
          if (breaks-- > 0) throw new AppError('store_down', 'away');
        }
      },
    });
    const patience = { signal: new AbortController().signal, onWaiting: () => undefined, firstPauseMs: 1 };
    const progress: IndexProgress[] = [];
    await move({ onProgress: (now) => progress.push(now) }, { store: patientStore(breaking, patience) });
    expect(breaks).toBeLessThan(0);
    expect(moved).toHaveLength(FILES);
    expect(progress.at(-1)).toMatchObject({ chunks: FILES, embedded: FILES, reused: 0, total: FILES });
    expect(await bench.visibleCount()).toBe(FILES);
  });

  it('goes without what a first run left that was killed and that nobody goes on with', async () => {
    const kill = new AbortController();
    bench.beforeAnswer = async () => {
      const repos = async (): Promise<number> => (await bench.store.countByRepo(COLLECTION)).length;
      await expect.poll(repos, { timeout: 30_000 }).toBe(2);
      kill.abort('killed');
    };
    await bench.tree.write({ 'src/late.py': pythonFile('late') });
    await expect(bench.run('dead', { repo: 'other', signal: kill.signal })).rejects.toBe('killed');
    expect(await bench.states()).toEqual({ r1: 'committed', dead: 'embedding' });
    await move();
    expect(await bench.states()).toEqual({ r1: 'committed', dead: 'cancelled' });
    expect(await bench.store.countByRepo(COLLECTION)).toEqual([{ repo: 'sample', chunks: FILES }]);
  });

  it('asked for twice under the same id, is moved once', async () => {
    await move();
    await move();
    expect(moved).toHaveLength(FILES);
    expect(await bench.store.dropSuccessor(COLLECTION, 'job-1')).toBe('replaced');
    expect(await bench.visibleCount()).toBe(FILES);
  });

  it('cancelled, leaves nothing behind', async () => {
    const cancel = new AbortController();
    other = fakeEmbedding(OTHER, () => cancel.abort('cancelled'));
    await expect(move({ signal: cancel.signal })).rejects.toBe('cancelled');
    expect(await bench.store.dropSuccessor(COLLECTION, 'job-1')).toBe('dropped');
    expect(await bench.store.listSuccessors()).toEqual([]);
    expect(await bench.visibleCount()).toBe(FILES);
  });

  it('that was indexed into meanwhile is not replaced: nothing of that run may be lost', async () => {
    other = fakeEmbedding(OTHER, async (texts) => {
      if (moved.length === 0) {
        moved.push(...texts);
        await bench.tree.write({ 'src/late.py': pythonFile('late') });
        await bench.run('r2');
      }
    });
    await expect(move()).rejects.toMatchObject({
      code: 'index_failed',
      message: expect.stringContaining('r2'),
    });
    expect(await bench.store.getCollection(COLLECTION)).toMatchObject({ space: SPACE });
    expect(await found('late')).toContain('src/late.py');
  });

  it('leaves out a text that the new model refuses and names it, and the next index run tries it again', async () => {
    const willing = other;
    other = {
      ...willing,
      embed: async (inputs, options) =>
        (await willing.embed(inputs, options)).map((vector, at) =>
          (options.texts[at] ?? '').includes('def f7(') ? new AppError('text_refused', 'Too odd.') : vector,
        ),
    };
    const told: { progress: IndexProgress; skipped: readonly SkippedFile[] }[] = [];
    await move({ onProgress: (progress, skipped) => told.push({ progress, skipped: [...skipped] }) });
    expect(told.at(-1)).toMatchObject({
      progress: { chunks: FILES, skipped: 1, reused: 0 },
      skipped: [{ path: 'src/f0007.py', reason: 'lines 1 to 2 are left out: Too odd.' }],
    });
    expect(await bench.visibleCount()).toBe(FILES - 1);
    moved = [];
    await bench.run('r2', {}, { store: bench.store, ...willing, second: null });
    expect(moved).toEqual([expect.stringContaining('def f7(')]);
    expect(await bench.visibleCount()).toBe(FILES);
    expect(await bench.store.countUnembedded(COLLECTION)).toEqual([]);
  });

  it('keeps what an index run needs: unchanged files stay, and a changed one is embedded', async () => {
    await move();
    const parts = { store: bench.store, ...other, second: null };
    moved = [];
    await bench.tree.write({ 'src/f0003.py': pythonFile('changed') });
    await bench.run('r2', {}, parts);
    expect(moved).toHaveLength(1);
    expect(await bench.visibleCount()).toBe(FILES);
  });
});

describe('a collection that gets a second space', () => {
  it('keeps its vectors, and has one of the other model for every chunk, new ones included', async () => {
    const first = fakeEmbedding(SPACE, (texts) => void bench.embedded.push(...texts));
    await move({}, { first, second: other });
    expect(bench.embedded).toEqual([]);
    expect(moved).toHaveLength(FILES);
    expect(await bench.store.getCollection(COLLECTION)).toMatchObject({ space: SPACE, secondSpace: OTHER });
    moved = [];
    await bench.tree.write({ 'src/new.py': pythonFile('new') });
    await bench.run('r2', {}, { store: bench.store, ...first, second: other });
    expect(bench.embedded).toHaveLength(1);
    expect(moved).toEqual(bench.embedded);
    // And loses it again without a word to any model.
    await move({ moveId: 'job-2' }, { first, second: null });
    expect(moved).toHaveLength(1);
    expect(await bench.store.getCollection(COLLECTION)).toMatchObject({ space: SPACE, secondSpace: null });
    expect(await bench.visibleCount()).toBe(FILES + 1);
  });

  it('where a file has been moved in one repo and not in its clone, gives each a vector of what it is now', async () => {
    await bench.run('r2', { repo: 'clone' });
    await rename(`${bench.tree.root}/src`, `${bench.tree.root}/lib`);
    await bench.run('r3');
    expect(bench.embedded).toEqual([]);
    const first = fakeEmbedding(SPACE, (texts) => void bench.embedded.push(...texts));
    await move({}, { first, second: other });
    expect(bench.embedded).toEqual([]);
    for (const [repo, folder] of [
      ['sample', 'lib'],
      ['clone', 'src'],
    ] as const) {
      const path = `${folder}/f0001.py`;
      const [row] = await bench.store.readChunks(COLLECTION, { repo, path });
      const { secondVector } =
        (await bench.store.vectorsById(COLLECTION, [row?.id ?? ''])).get(row?.id ?? '') ?? {};
      expect(secondVector).toEqual(fakeVector(`${path} f1\n${pythonFile('f1').trimEnd()}`, OTHER.dimensions));
    }
  });

  it('and whose first one is replaced at the same time has both of the same text', async () => {
    await rename(`${bench.tree.root}/src`, `${bench.tree.root}/lib`);
    await bench.run('r2');
    const first = fakeEmbedding(SPACE, () => undefined);
    await move({}, { first, second: other });
    const third = fakeEmbedding({ ...OTHER, revision: '3' }, (texts) => void bench.embedded.push(...texts));
    moved = [];
    await move({ moveId: 'job-2' }, { first: third, second: other });
    expect(bench.embedded).toHaveLength(FILES);
    expect(moved.sort()).toEqual(bench.embedded.sort());
  });
});
