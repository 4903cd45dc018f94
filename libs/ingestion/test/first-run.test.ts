import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppError } from '@embergate/contracts/errors.ts';
import type { IndexProgress } from '@embergate/contracts/index-job.ts';
import { watchedStore } from '@embergate/testing/watched-store.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import { FolderSource } from '../src/folder-source.ts';
import { patientStore } from '../src/patient-store.ts';
import { abandonRun, undoRun } from '../src/sweep.ts';
import {
  COLLECTION,
  createRunBench,
  fakeEmbedding,
  fakeVector,
  pythonFiles,
  SPACE,
  type RunBench,
} from './run-bench.ts';

/** Two batches for the model. */
const FILES = 300;
const KNOWN = 20;

describe('the first run of a repo', () => {
  let bench: RunBench;
  beforeEach(async () => {
    bench = await createRunBench(pythonFiles(KNOWN));
    await bench.run('other-repo', { repo: 'other' });
    bench.embedded = [];
    await bench.tree.write(pythonFiles(FILES));
  });
  afterEach(() => bench.remove());

  const ours = <T extends { repo: string }>(found: T[]): T[] => found.filter(({ repo }) => repo === 'sample');
  const search = async (text: string): Promise<string[]> => {
    const found = await bench.store.searchLexical(COLLECTION, lexicalText(text), { limit: 5, filter: {} });
    return ours(found).map(({ path }) => path);
  };
  const denseCount = async (): Promise<number> => {
    const options = { limit: 2 * FILES, filter: {} };
    return ours(await bench.store.searchDense(COLLECTION, fakeVector('f7'), options)).length;
  };

  /** Kills the run before the model has answered once, and after all has been shown to searches. */
  async function runUntilEmbedding(runId: string): Promise<void> {
    const kill = new AbortController();
    bench.beforeAnswer = async () => {
      await bench.whenVisible(FILES);
      kill.abort('killed');
    };
    await expect(bench.run(runId, { signal: kill.signal })).rejects.toBe('killed');
    bench.beforeAnswer = () => undefined;
  }

  it('is found by full text before the model has answered once, and by its vectors as they come', async () => {
    const told: IndexProgress[] = [];
    const answers: unknown[] = [];
    bench.beforeAnswer = async () => {
      await bench.whenVisible(FILES);
      answers.push({ text: await search('f277'), chunks: await bench.visibleCount() });
      // Vectors of texts that the other repo has are copied, and not waited for.
      if (answers.length === 1) expect(await denseCount()).toBe(KNOWN);
      // The second batch is answered when what came of the first one is found.
      else await expect.poll(denseCount, { timeout: 30_000 }).toBeGreaterThan(KNOWN);
    };
    await bench.run('r1', { onProgress: (progress) => void told.push(progress) });
    const all = { text: ['src/f0277.py'], chunks: FILES };
    expect(answers).toEqual([all, all]);
    expect(await denseCount()).toBe(FILES);
    expect(bench.embedded).toHaveLength(FILES - KNOWN);
    const [embedding] = told.filter(({ textSearchable }) => textSearchable);
    expect(embedding).toMatchObject({ files: FILES, chunks: FILES, total: FILES, embedded: 0 });
    expect(told.at(-1)).toMatchObject({ chunks: FILES, embedded: FILES - KNOWN, reused: KNOWN });
    expect(await bench.states()).toEqual({ 'other-repo': 'committed', r1: 'committed' });
  });

  it('goes on with what has no vector yet, and what has changed meanwhile', async () => {
    await runUntilEmbedding('r1');
    expect(await bench.states()).toMatchObject({ r1: 'embedding' });
    expect(await bench.unembeddedCount('r1')).toBe(FILES - KNOWN);
    await bench.tree.write({ 'src/f0277.py': 'def another(value):\n    return value + "another"\n' });
    bench.embedded = [];
    const estimate = await bench.estimate({ runId: 'r1' });
    expect(estimate).toMatchObject({ chunks: FILES, reused: KNOWN, embedded: FILES - KNOWN });
    const told: IndexProgress[] = [];
    await bench.run('r1', { onProgress: (progress) => void told.push(progress) });
    // Before it has read anything it does not know how much there is.
    expect(told[0]).toMatchObject({ textSearchable: true, total: null });
    expect(told.at(-1)).toMatchObject({ total: FILES, embedded: FILES - KNOWN });
    expect(bench.embedded).toHaveLength(FILES - KNOWN);
    expect(await bench.visibleCount()).toBe(FILES);
    expect(await search('f277')).toEqual([]);
    expect(await search('another')).toEqual(['src/f0277.py']);
  });

  it('gives a chunk both its vectors at once, where the collection has two spaces', async () => {
    const small = { ...SPACE, model: 'small', dimensions: 4 };
    await bench.store.ensureCollection('two', SPACE, small);
    const inSecond = async (): Promise<number> => {
      const options = { limit: 2 * FILES, filter: {}, space: 'second' } as const;
      return (await bench.store.searchDense('two', fakeVector('f7', 4), options)).length;
    };
    const counts: number[] = [];
    const first = fakeEmbedding(SPACE, () => undefined);
    const second = fakeEmbedding(small, async () => {
      const count = async (): Promise<number> => (await bench.store.countByRepo('two'))[0]?.chunks ?? 0;
      await expect.poll(count, { timeout: 30_000 }).toBe(FILES);
      counts.push(await count());
      if (counts.length === 1) expect(await inSecond()).toBe(0);
    });
    await bench.run('r1', { collection: 'two' }, { store: bench.store, ...first, second });
    expect(counts).toEqual([FILES, FILES]);
    expect(await inSecond()).toBe(FILES);
    expect(await bench.store.countUnembedded('two')).toEqual([]);
  });

  it('that fails in its first reading does not wait for a model that never answers', async () => {
    bench.beforeAnswer = () => new Promise<never>(() => undefined);
    const full = watchedStore(bench.store, {
      optimize: () => Promise.reject(new AppError('storage_full', 'The disk is full.')),
    });
    await expect(bench.runOn(full, 'r1')).rejects.toMatchObject({ code: 'storage_full' });
    expect(bench.embedded).toEqual([]);
  });

  it('that fails in its second reading does not wait for it either', async () => {
    // More than is embedded ahead.
    await bench.tree.write(pythonFiles(6 * FILES));
    bench.beforeAnswer = () => new Promise<never>(() => undefined);
    const openSource = async (): Promise<FolderSource> => {
      const source = await FolderSource.open(bench.tree.root, bench.chunker);
      let readings = 0;
      const read = source.read.bind(source);
      source.read = async function* () {
        readings += 1;
        yield* read();
        if (readings === 2) throw new AppError('source_not_found', 'The folder is gone.');
      };
      return source;
    };
    await expect(bench.run('r1', { openSource })).rejects.toMatchObject({ code: 'source_not_found' });
    expect(await bench.visibleCount()).toBe(6 * FILES);
  });

  it('is taken back whole when it is cancelled, and hidden when it is given up', async () => {
    await runUntilEmbedding('r1');
    expect(await bench.visibleCount()).toBe(FILES);
    await abandonRun(bench.store, { collection: COLLECTION, runId: 'r1' });
    expect(await bench.states()).toMatchObject({ r1: 'cancelled' });
    expect(await search('f7')).toEqual([]);
    await undoRun(bench.store, { collection: COLLECTION, runId: 'r1' });
    expect(await bench.rows()).toEqual([]);
  });

  it('keeps its vectors when it is given up while the store goes away again and again', async () => {
    await runUntilEmbedding('r1');
    let outages = 5;
    const breaking = watchedStore(bench.store, {
      unembedded: async function* (...args) {
        yield* bench.store.unembedded(...args);
        if (outages-- > 0) throw new AppError('store_down', 'away');
      },
    });
    const patience = { signal: new AbortController().signal, onWaiting: () => undefined, firstPauseMs: 1 };
    await abandonRun(patientStore(breaking, patience), { collection: COLLECTION, runId: 'r1' });
    expect(outages).toBeLessThan(0);
    expect(await bench.states()).toMatchObject({ r1: 'cancelled' });
    expect(await bench.rows()).toHaveLength(FILES);
  });

  it('is followed by runs that show nobody what they have written so far', async () => {
    await bench.run('r1');
    await bench.tree.write({ 'src/late.py': 'def late(value):\n    return value + "late"\n' });
    await bench.runUntilPublishing('r2');
    expect(await bench.rows()).toHaveLength(FILES + 1);
    expect(await bench.unembeddedCount('r2')).toBe(0);
    expect(await bench.visibleCount()).toBe(FILES);
    expect(await search('late')).toEqual([]);
  });
});
