import { createHash } from 'node:crypto';
import type { ChunkStamp, RunRecord, VectorStore } from '@embergate/vector-store/store.ts';
import { describe, expect, it } from 'vitest';
import { RunChunks } from '../src/run-chunks.ts';

const keyOf = (name: string): string => createHash('md5').update(name).digest('hex');
const [A, B, C, D] = ['a', 'b', 'c', 'd'].map(keyOf) as [string, string, string, string];
const RUN = { collection: 'code', repo: 'app', runId: 'now' };
const stamp = (id: string, addedBy = 'earlier', removedBy: string | null = null): ChunkStamp => ({
  id,
  path: 'a.py',
  addedBy,
  removedBy,
});

/** Stands for a store of which a run only asks which rows there are. */
function fakeStore(rows: ChunkStamp[], unembedded: string[] = []): VectorStore {
  const runs = ['earlier', 'full'].map((id) => ({ id, state: 'committed' }) as RunRecord);
  return {
    listRuns: () =>
      Promise.resolve([...runs, { id: 'now', state: 'pending' }, { id: 'dead', state: 'pending' }]),
    stamps: async function* () {
      yield rows;
    },
    unembedded: async function* () {
      yield unembedded;
    },
  } as unknown as VectorStore;
}

describe('what a run knows of the chunks of its repo', () => {
  it('is which rows are visible, which are its own, and which of those have no vector', async () => {
    const chunks = new RunChunks({ ...RUN, mode: 'incremental' });
    const rows = [
      stamp(A),
      stamp(B, 'now'),
      stamp(C, 'now'),
      stamp(D, 'dead'),
      stamp(keyOf('gone'), 'earlier', 'full'),
    ];
    await chunks.read(fakeStore(rows, [C]));
    expect([A, B, C, D].map((key) => chunks.isVisible(key))).toEqual([true, false, false, false]);
    expect([A, B, C, D].map((key) => chunks.isOwn(key))).toEqual([false, true, true, false]);
    expect([A, B, C, D].map((key) => chunks.isUnembedded(key))).toEqual([false, false, true, false]);
    expect([chunks.ownCount, chunks.hasUnembedded]).toEqual([2, true]);
  });

  it('is where visible rows are from that the source has no more, where its paths are known', async () => {
    const chunks = new RunChunks({ ...RUN, mode: 'incremental' });
    const at = (path: string, ...of: Parameters<typeof stamp>): ChunkStamp => ({ ...stamp(...of), path });
    const rows = [at('a.py', A), at('old.py', B), at('mine.py', C, 'now'), at('dead.py', D, 'dead')];
    await chunks.read(fakeStore(rows), new Set(['a.py', 'new.py']));
    expect([...chunks.gonePaths]).toEqual(['old.py']);
    await chunks.read(fakeStore(rows));
    expect([...chunks.gonePaths]).toEqual([]);
  });

  it('is the row that will stand for a chunk when the run is published', async () => {
    const rows = [stamp(A), stamp(`${B}~full`)];
    for (const [mode, kept] of [
      ['incremental', [A, `${B}~full`, C]],
      ['full', [A, B, C].map((key) => `${key}~now`)],
    ] as const) {
      const chunks = new RunChunks({ ...RUN, mode });
      await chunks.read(fakeStore(rows));
      expect([A, B, C].map((key) => chunks.keptId(key))).toEqual(kept);
    }
  });

  it('is what is stale: rows that were not found, those that are left out, and those of no chunk', async () => {
    const chunks = new RunChunks({ ...RUN, mode: 'incremental' });
    await chunks.read(fakeStore([stamp(A), stamp(B), stamp(C, 'now'), stamp(`${D}~full`), stamp('by-hand')]));
    for (const key of [A, C, D]) expect(chunks.find(key)).toBe(true);
    expect(chunks.find(A)).toBe(false);
    chunks.leaveOut(C);
    expect(chunks.foundCount).toBe(2);
    expect([...chunks.staleIds()].sort()).toEqual([B, C, 'by-hand'].sort());
  });

  it('marks one of two visible rows of a chunk, and a row that was read twice not at all', async () => {
    const chunks = new RunChunks({ ...RUN, mode: 'incremental' });
    await chunks.read(fakeStore([stamp(A), stamp(`${A}~full`), stamp(B), stamp(B)]));
    chunks.find(A);
    chunks.find(B);
    expect([...chunks.staleIds()]).toEqual([`${A}~full`]);
  });

  it('marks in a full run all rows that were visible, under their own ids, and keeps its own that were found', async () => {
    const chunks = new RunChunks({ ...RUN, mode: 'full' });
    const rows = [stamp(A), stamp(`${B}~full`), stamp(`${A}~now`, 'now'), stamp(`${C}~now`, 'now')];
    await chunks.read(fakeStore(rows));
    chunks.find(A);
    chunks.find(B);
    expect([...chunks.staleIds()].sort()).toEqual([A, `${B}~full`, `${C}~now`].sort());
    expect(await chunks.compare(fakeStore([...rows, stamp(`${B}~now`, 'now')]))).toEqual({
      missing: 0,
      unknown: 0,
    });
    expect(await chunks.compare(fakeStore(rows))).toEqual({ missing: 1, unknown: 0 });
  });

  it('is counted against the store before it is published: what is missing there, and what nobody found', async () => {
    const chunks = new RunChunks({ ...RUN, mode: 'incremental' });
    await chunks.read(fakeStore([stamp(A), stamp(B)]));
    chunks.find(A);
    chunks.find(C);
    const rows = [stamp(A), stamp(B), stamp(C, 'now')];
    expect(await chunks.compare(fakeStore([...rows, ...rows]))).toEqual({ missing: 0, unknown: 0 });
    expect(await chunks.compare(fakeStore([stamp(A), stamp(D, 'now')]))).toEqual({ missing: 1, unknown: 1 });
  });

  it('is read anew for another reading of the source, and only what is embedded ahead is still known', async () => {
    const chunks = new RunChunks({ ...RUN, mode: 'incremental' });
    await chunks.read(fakeStore([stamp(A), stamp(B, 'now')], [B]));
    chunks.find(A);
    chunks.takeAhead([B]);
    await chunks.read(fakeStore([stamp(B, 'now')]));
    expect([chunks.foundCount, chunks.isVisible(A), chunks.isOwn(B), chunks.isUnembedded(B)]).toEqual([
      0,
      false,
      true,
      false,
    ]);
    expect([chunks.isAhead(A), chunks.isAhead(B), chunks.find(A)]).toEqual([false, true, true]);
  });
});
