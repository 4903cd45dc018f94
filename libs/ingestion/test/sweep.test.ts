import { AppError } from '@embergate/contracts/errors.ts';
import { watchedStore } from '@embergate/testing/watched-store.ts';
import { rm } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { abandonOrphans, abandonRun, sweep, undoRun } from '../src/sweep.ts';
import { COLLECTION, createRunBench, pythonFile, pythonFiles, type RunBench } from './run-bench.ts';

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

describe('sweeping', () => {
  let bench: RunBench;
  beforeEach(async () => {
    bench = await createRunBench(pythonFiles(3));
    await bench.run('r1');
  });
  afterEach(() => bench.remove());

  it('deletes what a run removed a minute after it was published, and not before', async () => {
    await rm(`${bench.tree.root}/src/f0001.py`);
    await bench.run('r2');
    await sweep(bench.store, Date.now());
    expect(await bench.rows()).toHaveLength(3);
    expect(await bench.states()).toEqual({ r1: 'committed', r2: 'committed' });
    await sweep(bench.store, Date.now() + 61 * SECOND);
    expect(await bench.rows()).toHaveLength(2);
    expect(await bench.visibleCount()).toBe(2);
  });

  it('keeps the record of a repo’s last run, and drops older ones', async () => {
    await bench.run('r2');
    await sweep(bench.store, Date.now() + 61 * SECOND);
    expect(await bench.states()).toEqual({ r1: 'swept', r2: 'swept' });
    await sweep(bench.store, Date.now() + 62 * SECOND);
    expect(await bench.states()).toEqual({ r2: 'swept' });
    expect(await bench.visibleCount()).toBe(3);
  });

  it('undoes a run that failed, once another try has had an hour to copy its vectors', async () => {
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await rm(`${bench.tree.root}/src/f0001.py`);
    await bench.runUntilPublishing('failed');
    await abandonRun(bench.store, { collection: COLLECTION, runId: 'failed' });
    expect(await bench.states()).toMatchObject({ failed: 'cancelled' });
    await sweep(bench.store, Date.now() + 0.9 * HOUR);
    expect(await bench.rows()).toHaveLength(4);
    expect(await bench.visibleCount()).toBe(3);
    await sweep(bench.store, Date.now() + HOUR + SECOND);
    const rows = await bench.rows();
    expect(rows.map(({ addedBy, removedBy }) => [addedBy, removedBy])).toEqual(Array(3).fill(['r1', null]));
    expect(await bench.states()).toEqual({ r1: 'swept' });
  });

  it('leaves a run alone that is under way, however long it takes', async () => {
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await bench.runUntilPublishing('long');
    await abandonOrphans(bench.store, (jobId) => Promise.resolve(jobId === 'long'));
    // Nor where the queue is away, and nobody can say whether it is.
    const away = (): Promise<boolean> => Promise.reject(new AppError('queue_down', 'away'));
    await expect(abandonOrphans(bench.store, away)).rejects.toThrow(AggregateError);
    await sweep(bench.store, Date.now() + 1_000 * HOUR);
    expect(await bench.states()).toMatchObject({ long: 'pending' });
    expect(await bench.rows()).toHaveLength(4);
  });

  it('gives up a run whose job has ended without it, and hides at once what was found of it', async () => {
    const found = async (): Promise<string[]> =>
      (await bench.store.countByRepo(COLLECTION)).map(({ repo }) => repo);
    const kill = new AbortController();
    bench.beforeAnswer = async () => {
      await expect.poll(found, { timeout: 30_000 }).toEqual(['other', 'sample']);
      kill.abort('killed');
    };
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await expect(bench.run('first', { repo: 'other', signal: kill.signal })).rejects.toBe('killed');
    expect(await found()).toEqual(['other', 'sample']);
    await abandonOrphans(bench.store, () => Promise.resolve(false));
    expect(await found()).toEqual(['sample']);
    expect(await bench.states()).toEqual({ r1: 'committed', first: 'cancelled' });
    await sweep(bench.store, Date.now() + HOUR + SECOND);
    expect(await bench.states()).toEqual({ r1: 'swept' });
  });

  it('leaves what a job published while it was asked whether that job has ended', async () => {
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await bench.runUntilPublishing('r2');
    await abandonOrphans(bench.store, async () => {
      await bench.run('r2');
      return false;
    });
    expect(await bench.states()).toEqual({ r1: 'committed', r2: 'committed' });
  });
});

describe('undoing a run', () => {
  let bench: RunBench;
  beforeEach(async () => {
    bench = await createRunBench(pythonFiles(2));
  });
  afterEach(() => bench.remove());

  it('that was never begun needs no collection, and makes none', async () => {
    const never = { collection: 'unmade', runId: 'r1' };
    expect(await undoRun(bench.store, never)).toBe(true);
    await abandonRun(bench.store, never);
    expect(await bench.store.listCollections()).toEqual([]);
  });

  it('whose collection was dropped under it, and made anew by others, leaves nothing for searches to find', async () => {
    bench.beforeAnswer = async () => {
      bench.beforeAnswer = () => undefined;
      await bench.whenVisible(2);
      await bench.store.dropCollection(COLLECTION);
      await bench.run('others', { repo: 'other' });
    };
    await bench.runUntilPublishing('r1');
    expect(await bench.visibleCount()).toBe(2);
    await abandonRun(bench.store, { collection: COLLECTION, runId: 'r1' });
    expect(await bench.store.countByRepo(COLLECTION)).toEqual([{ repo: 'other', chunks: 2 }]);
  });

  it('that was the first leaves the collection alone where another job has begun in it meanwhile', async () => {
    await bench.runUntilPublishing('r1');
    const slow = watchedStore(bench.store, {
      countByRepo: async (collection) => {
        const counts = await bench.store.countByRepo(collection);
        await bench.run('others', { repo: 'other' });
        return counts;
      },
    });
    await undoRun(slow, { collection: COLLECTION, runId: 'r1' });
    expect(await bench.store.countByRepo(COLLECTION)).toEqual([{ repo: 'other', chunks: 2 }]);
  });

  it('that was published is refused: its chunks are what people find', async () => {
    await bench.run('r1');
    const name = { collection: COLLECTION, runId: 'r1' };
    expect(await undoRun(bench.store, name)).toBe(false);
    await abandonRun(bench.store, name);
    expect(await bench.states()).toEqual({ r1: 'committed' });
    expect(await bench.visibleCount()).toBe(2);
  });

  it('takes away its rows and its marks, and nothing of others', async () => {
    await bench.run('r1');
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await rm(`${bench.tree.root}/src/f0001.py`);
    await bench.runUntilPublishing('r2');
    expect(await undoRun(bench.store, { collection: COLLECTION, runId: 'r2' })).toBe(true);
    expect(await bench.states()).toEqual({ r1: 'committed' });
    const rows = await bench.rows();
    expect(rows.map(({ addedBy, removedBy }) => [addedBy, removedBy])).toEqual(Array(2).fill(['r1', null]));
  });
});
