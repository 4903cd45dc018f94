import { mkdir, rename, rm } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppError } from '@embergate/contracts/errors.ts';
import type { SkippedFile } from '@embergate/contracts/index-job.ts';
import { abandonRun, undoRun } from '../src/sweep.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import { COLLECTION, createRunBench, pythonFile, pythonFiles, type RunBench } from './run-bench.ts';

/** Eight batches, nearly. */
const FILES = 2_000;
/** As run-pass.ts and embed-ahead.ts have it: batches of 256, three under way and two ahead. */
const IN_FLIGHT = 5 * 256;

describe('a run that is interrupted', () => {
  let bench: RunBench;
  beforeEach(async () => {
    bench = await createRunBench(pythonFiles(FILES));
  });
  afterEach(() => bench.remove());

  /** Kills the run when the model is asked for the seventh batch: six have been begun, and some are written. */
  async function runUntilSeventhBatch(runId: string): Promise<void> {
    const kill = new AbortController();
    let batches = 0;
    bench.beforeAnswer = async () => {
      batches += 1;
      await bench.whenVisible(FILES);
      if (batches === 7) kill.abort('killed');
    };
    await expect(bench.run(runId, { signal: kill.signal })).rejects.toBe('killed');
    bench.beforeAnswer = () => undefined;
  }

  it('goes on where it was, embeds little twice, and ends as if nothing had happened', async () => {
    await bench.run('undisturbed', { collection: 'other' });
    expect(bench.embedded).toHaveLength(FILES);
    bench.embedded = [];

    await runUntilSeventhBatch('r1');
    const before = bench.embedded.length;
    expect(before).toBeGreaterThanOrEqual(256);
    expect(before).toBeLessThan(FILES);
    const written = FILES - (await bench.unembeddedCount('r1'));
    expect(before - written).toBeLessThanOrEqual(IN_FLIGHT);
    bench.embedded = [];
    await bench.run('r1');
    expect(bench.embedded).toHaveLength(FILES - written);
    const ids = (rows: { id: string; removedBy: string | null }[]) =>
      rows.map(({ id, removedBy }) => [id, removedBy]);
    expect(ids(await bench.rows())).toEqual(ids(await bench.rows('other')));
    expect(await bench.visibleCount()).toBe(FILES);
    expect(await bench.states()).toEqual({ r1: 'committed' });
  });

  it('ends with what the model said when it breaks, and asks it for little more', async () => {
    let isFirst = true;
    bench.beforeAnswer = async () => {
      const breaks = isFirst;
      isFirst = false;
      await bench.whenVisible(FILES);
      if (breaks) throw new AppError('embedding_failed', 'The model broke.');
    };
    await expect(bench.run('r1')).rejects.toMatchObject({ code: 'embedding_failed' });
    expect(bench.embedded.length).toBeLessThanOrEqual(IN_FLIGHT);
  });

  it('is cleaned up by the next run of the repo, which copies its vectors', async () => {
    await runUntilSeventhBatch('dead');
    const written = FILES - (await bench.unembeddedCount('dead'));
    bench.embedded = [];
    await bench.run('r2');
    expect(bench.embedded).toHaveLength(FILES - written);
    expect(await bench.states()).toEqual({ r2: 'committed' });
    const rows = await bench.rows();
    expect(rows).toHaveLength(FILES);
    expect(new Set(rows.map(({ addedBy }) => addedBy))).toEqual(new Set(['r2']));
  });
});

describe('a first run', () => {
  let bench: RunBench;
  beforeEach(async () => {
    bench = await createRunBench(pythonFiles(40));
  });
  afterEach(() => bench.remove());
  const collections = async () => (await bench.store.listCollections()).map(({ name }) => name);

  it('whose source cannot be opened leaves no collection behind, nor does one that is cancelled or fails before it has a vector', async () => {
    await bench.tree.remove();
    await expect(bench.run('r1')).rejects.toMatchObject({ code: 'source_not_found' });
    expect(await collections()).toEqual([]);
    await bench.tree.write(pythonFiles(3));
    bench.beforeAnswer = () => Promise.reject(new Error('broken'));
    await expect(bench.run('r2')).rejects.toThrow('broken');
    await abandonRun(bench.store, { collection: COLLECTION, runId: 'r2' });
    expect(await collections()).toEqual([]);
    bench.beforeAnswer = () => undefined;
    await bench.runUntilPublishing('r3');
    await undoRun(bench.store, { collection: COLLECTION, runId: 'r3' });
    expect(await collections()).toEqual([]);
  });

  it('that fails with vectors keeps them for the next one', async () => {
    await bench.runUntilPublishing('r1');
    await abandonRun(bench.store, { collection: COLLECTION, runId: 'r1' });
    bench.embedded = [];
    await bench.run('r2');
    expect(bench.embedded).toEqual([]);
    expect(await bench.visibleCount()).toBe(40);
  });

  it('leaves out a text that the model refuses, says which and why, and publishes the rest', async () => {
    bench.refuse = (text) => text.includes('def f7(');
    const skipped: SkippedFile[] = [];
    await bench.run('r1', { onProgress: (_progress, named) => skipped.splice(0, skipped.length, ...named) });
    expect(await bench.visibleCount()).toBe(39);
    expect(skipped).toEqual([
      { path: 'src/f0007.py', reason: 'lines 1 to 2 are left out: The text was refused.' },
    ]);
    expect(await bench.states()).toEqual({ r1: 'committed' });
    // It is tried again by the next run.
    bench.refuse = () => false;
    bench.embedded = [];
    await bench.run('r2');
    expect(bench.embedded).toHaveLength(1);
    expect(await bench.visibleCount()).toBe(40);
  });

  it('is told beforehand what it will cost, from some files or from all', async () => {
    const estimate = (mostFiles: number, mode: 'incremental' | 'full' = 'incremental') =>
      bench.estimate({ mostFiles, mode });
    expect(await estimate(Infinity)).toMatchObject({
      files: 40,
      sampledFiles: 40,
      chunks: 40,
      reused: 0,
      embedded: 40,
    });
    const some = await estimate(10);
    expect(some).toMatchObject({ files: 40, sampledFiles: 10 });
    expect(some?.chunks).toBeGreaterThan(35);
    expect(some?.chunks).toBeLessThan(45);
    expect(await collections()).toEqual([]);
    await bench.run('r1');
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    const known = await estimate(Infinity);
    expect(known).toMatchObject({ chunks: 41, reused: 40, embedded: 1 });
    expect(known?.tokens).toBeLessThan(100);
    expect(await estimate(Infinity, 'full')).toMatchObject({ reused: 0, embedded: 41 });
    // One that was killed when all was written has nothing more to embed.
    await bench.runUntilPublishing('e', { mode: 'full' });
    expect(await estimate(Infinity, 'full')).toMatchObject({ reused: 41, embedded: 0, tokens: 0 });
  });

  it('of a copy in another repo is free', async () => {
    await bench.run('r1');
    bench.embedded = [];
    await bench.run('r2', { repo: 'copy' });
    expect(bench.embedded).toEqual([]);
    const counts = await bench.store.countByRepo(COLLECTION);
    expect(counts.map(({ chunks }) => chunks)).toEqual([40, 40]);
  });
});

describe('an index run', () => {
  let bench: RunBench;
  beforeEach(async () => {
    bench = await createRunBench(pythonFiles(3));
    await bench.run('r1');
    bench.embedded = [];
  });
  afterEach(() => bench.remove());

  it('that was published already changes nothing when its job is handed out once more', async () => {
    const before = { runs: await bench.store.listRuns(COLLECTION), rows: await bench.rows() };
    await bench.tree.write({ 'src/f0000.py': pythonFile('changed') });
    await bench.run('r1');
    expect(bench.embedded).toEqual([]);
    expect({ runs: await bench.store.listRuns(COLLECTION), rows: await bench.rows() }).toEqual(before);

    const [record] = before.runs;
    if (!record) throw new Error('there is no record');
    await bench.store.putRun({ ...record, state: 'swept' });
    await bench.run('r1');
    expect(await bench.states()).toEqual({ r1: 'swept' });
    expect(await bench.visibleCount()).toBe(3);
  });

  it('that was published already still cleans up after the dead run before it', async () => {
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await bench.runUntilPublishing('dead');
    expect(await bench.rows()).toHaveLength(4);
    await bench.run('r1');
    expect(await bench.states()).toEqual({ r1: 'committed' });
    expect(await bench.rows()).toHaveLength(3);
  });

  it('keeps a chunk that was gone when the run was interrupted and is back when it goes on', async () => {
    await rename(`${bench.tree.root}/src/f0001.py`, `${bench.tree.root}/f0001.away`);
    await bench.tree.write({ '.gitignore': '*.away\n' });
    await bench.runUntilPublishing('r2');
    expect((await bench.rows()).filter(({ removedBy }) => removedBy === 'r2')).toHaveLength(1);
    await rename(`${bench.tree.root}/f0001.away`, `${bench.tree.root}/src/f0001.py`);
    await rm(`${bench.tree.root}/.gitignore`);
    await bench.run('r2');
    // The ignore file itself was a chunk of the first life, and is none of the second.
    expect(await bench.visibleCount()).toBe(3);
    const found = await bench.store.searchLexical(COLLECTION, lexicalText('f1'), { limit: 5, filter: {} });
    expect(found[0]).toMatchObject({ path: 'src/f0001.py' });
    // It was found all the while: written again, it would have been hidden until the end.
    const now = (await bench.rows()).filter(({ removedBy }) => removedBy === null);
    expect(now.map(({ addedBy }) => addedBy)).toEqual(['r1', 'r1', 'r1']);
  });

  it('in full mode makes every vector anew, beside the old ones until it is published', async () => {
    const old = (await bench.rows()).map(({ id }) => id);
    await bench.runUntilPublishing('r2', { mode: 'full' });
    expect(bench.embedded).toHaveLength(3);
    expect(await bench.rows()).toHaveLength(6);
    expect(await bench.visibleCount()).toBe(3);
    await bench.run('r2', { mode: 'full' });
    expect(bench.embedded).toHaveLength(3);
    expect(await bench.visibleCount()).toBe(3);
    const removed = (await bench.rows()).filter(({ removedBy }) => removedBy === 'r2');
    expect(removed.map(({ id }) => id)).toEqual(old);
  });

  it('whose folder goes away under it publishes nothing and says so', async () => {
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    bench.beforeAnswer = () => bench.tree.remove();
    await expect(bench.run('r2')).rejects.toMatchObject({ code: 'source_not_found' });
    expect(await bench.states()).toEqual({ r1: 'committed', r2: 'pending' });
    expect(await bench.visibleCount()).toBe(3);
  });

  it('whose folder is replaced under it, as by a share that comes off its mount point, does the same', async () => {
    const away = `${bench.tree.root}-away`;
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    bench.beforeAnswer = async () => {
      await rename(bench.tree.root, away);
      await mkdir(bench.tree.root);
    };
    try {
      await expect(bench.run('r2')).rejects.toMatchObject({ code: 'source_not_found' });
      expect(await bench.visibleCount()).toBe(3);
    } finally {
      await rm(away, { recursive: true, force: true });
    }
  });

  it('of a folder that was emptied empties the repo', async () => {
    await rm(`${bench.tree.root}/src`, { recursive: true });
    await bench.run('r2');
    expect(await bench.visibleCount()).toBe(0);
  });

  it('that was cancelled before it began leaves everything as it was, other runs of the repo too', async () => {
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await bench.runUntilPublishing('other');
    const before = { runs: await bench.store.listRuns(COLLECTION), rows: await bench.rows() };
    await expect(bench.run('r2', { signal: AbortSignal.abort('cancelled') })).rejects.toBe('cancelled');
    await expect(
      bench.run('r2', { collection: 'unmade', signal: AbortSignal.abort('cancelled') }),
    ).rejects.toBe('cancelled');
    expect({ runs: await bench.store.listRuns(COLLECTION), rows: await bench.rows() }).toEqual(before);
    expect((await bench.store.listCollections()).map(({ name }) => name)).toEqual([COLLECTION]);
  });
});
