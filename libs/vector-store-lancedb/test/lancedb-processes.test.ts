import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { row, run, space } from '@embergate/vector-store/conformance/samples.ts';
import { successorName } from '@embergate/vector-store/successor.ts';
import { path, children, open, useStoreFolder } from './store-folder.ts';

const fixture = (name: string): string => new URL(`./fixtures/${name}`, import.meta.url).pathname;
useStoreFolder();

interface Started {
  child: ChildProcessWithoutNullStreams;
  line: (text: string) => Promise<void>;
}

const startIndexing = (runId: string): Started => start('indexing-process.ts', runId);

function start(script: string, ...args: string[]): Started {
  const child = spawn(process.execPath, [fixture(script), path, ...args]);
  children.push(child);
  let output = '';
  let errors = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
  const line = async (text: string): Promise<void> => {
    while (!output.includes(`${text}\n`)) {
      if (child.exitCode !== null) throw new Error(`the process ended: ${errors}`);
      await Promise.race([once(child.stdout, 'data'), once(child, 'close')]);
    }
  };
  return { child, line };
}

describe('an indexer in a process of its own', () => {
  test('writes for as long as it likes and is seen the moment it publishes', async () => {
    const store = await open();
    await store.ensureCollection('default', space);
    await store.upsertRows('default', [row({ path: 'before.ts' })]);
    const { child, line } = startIndexing('other-process');
    for (const batch of ['batch 0', 'batch 1', 'batch 3']) {
      await line(batch);
      expect(await store.countByRepo('default')).toEqual([{ repo: 'app', chunks: 1 }]);
    }
    child.stdin.write('publish\n');
    await line('published');
    const [count] = await store.countByRepo('default');
    expect(count?.chunks).toBeGreaterThan(80);
    expect((count?.chunks ?? 0) % 20).toBe(1);
  });

  test('may be killed at any moment: nothing of it is seen, and what it left can be swept', async () => {
    const store = await open({ waitingRows: 0, keepReplacedMs: 0 });
    await store.ensureCollection('default', space);
    await store.upsertRows('default', [row({ path: 'before.ts' })]);
    for (const runId of ['first', 'second', 'third']) {
      const { child, line } = startIndexing(runId);
      await line('batch 1');
      child.kill('SIGKILL');
      await once(child, 'close');
      expect(await store.countByRepo('default')).toEqual([{ repo: 'app', chunks: 1 }]);
      await store.putRun(run(runId, 'cancelled'));
      await store.deleteRows('default', { addedBy: runId });
      await store.deleteRun('default', runId);
      await store.optimize('default');
      expect(await store.countByRepo('default')).toEqual([{ repo: 'app', chunks: 1 }]);
    }
  });

  test('two of them index at the same time while a third optimises, and no row is lost', async () => {
    const store = await open({ waitingRows: 0, keepReplacedMs: 0 });
    await store.ensureCollection('default', space);
    const indexers = ['left', 'right'].map(startIndexing);
    for (const batch of ['batch 1', 'batch 3', 'batch 5']) {
      await Promise.all(indexers.map(({ line }) => line(batch)));
      await store.optimize('default');
    }
    for (const { child } of indexers) child.stdin.write('publish\n');
    await Promise.all(indexers.map(({ line }) => line('published')));
    await store.optimize('default');
    const paths = new Set<string>();
    for await (const page of store.stamps('default', 'app')) for (const stamp of page) paths.add(stamp.path);
    const [count] = await store.countByRepo('default');
    expect(count?.chunks).toBe(paths.size);
    expect(paths.size % 20).toBe(0);
    for (const runId of ['left', 'right']) {
      const batches = [...paths].filter((p) => p.startsWith(`${runId}/`)).map((p) => Number(p.split('/')[1]));
      expect(new Set(batches).size * 20).toBe(batches.length);
      expect(Math.max(...batches) + 1).toBe(new Set(batches).size);
    }
  });
});

describe('a gateway in a process of its own', () => {
  const tables = async (): Promise<string[]> =>
    (await readdir(path)).filter((name) => name.startsWith('chunks_')).sort();

  test('searches on without a failure while the collection is replaced, again and again', async () => {
    const store = await open({ waitingRows: 0, keepReplacedMs: 0 });
    await store.ensureCollection('default', space);
    await store.upsertRows('default', [row({ path: 'generation-0' })]);
    const { child, line } = start('searching-process.ts');
    await line('sees generation-0');
    for (let n = 1; n <= 4; n++) {
      const id = `build-${n}`;
      await store.createSuccessor('default', id, { space, secondSpace: null });
      await store.upsertRows(successorName('default', id), [row({ path: `generation-${n}` })]);
      await store.optimize(successorName('default', id));
      await store.replaceBySuccessor('default', id);
      expect((await tables()).length).toBe(2);
      // From here on it has no search under way that began before.
      await line(`sees generation-${n}`);
      await store.removeReplaced(0);
      expect(await tables()).toEqual([`chunks_default.${id}.lance`]);
    }
    child.stdin.write('stop\n');
    await line('stopped');
  });

  test('reads what was replaced for as long as a search may take', async () => {
    const store = await open();
    await store.ensureCollection('default', space);
    await store.createSuccessor('default', 'next', { space, secondSpace: null });
    await store.replaceBySuccessor('default', 'next');
    await store.removeReplaced(60_000);
    expect(await tables()).toEqual(['chunks_default.lance', 'chunks_default.next.lance']);
    await store.removeReplaced(0);
    expect(await tables()).toEqual(['chunks_default.next.lance']);
  });
});

describe('several stores over one folder', () => {
  test('create the same collections at the same time and keep every row they write right after', async () => {
    const all = [await open(), await open(), await open()];
    for (let round = 0; round < 8; round++) {
      const name = `round-${round}`;
      const writes = all.map(async (store, i) => {
        await store.ensureCollection(name, space);
        await store.upsertRows(name, [row({ path: `${i}.ts` })]);
      });
      await Promise.all(writes);
      expect(await all[0]?.countByRepo(name)).toEqual([{ repo: 'app', chunks: 3 }]);
    }
    expect((await readdir(path)).filter((name) => !name.endsWith('.lance'))).toEqual([]);
  });

  test('write the same rows at the same time, and each is there once', async () => {
    const [one, other] = [await open({ waitingRows: 0 }), await open({ waitingRows: 0 })];
    await one.ensureCollection('default', space);
    await one.upsertRows('default', [row()]);
    await one.optimize('default');
    for (let round = 1; round <= 8; round++) {
      const rows = Array.from({ length: 50 }, (_, i) => row({ path: `${round}/${i}.ts` }));
      await Promise.all([one, other].map((store) => store.upsertRows('default', rows)));
      expect(await one.countByRepo('default')).toEqual([{ repo: 'app', chunks: 1 + 50 * round }]);
    }
  });

  test('write new rows while old ones are marked, and neither is lost', async () => {
    const [one, other] = [await open({ waitingRows: 0 }), await open({ waitingRows: 0 })];
    await one.ensureCollection('default', space);
    const old = Array.from({ length: 40 }, (_, i) => row({ path: `old/${i}.ts` }));
    await one.upsertRows('default', old);
    const rows = Array.from({ length: 40 }, (_, i) => row({ path: `new/${i}.ts` }));
    await Promise.all([
      ...rows.map((each) => one.upsertRows('default', [each])),
      ...old.map(({ id }) => other.markRemoved('default', [id], 'run-1')),
    ]);
    const marks = new Map<string, string | null>();
    for await (const page of one.stamps('default', 'app'))
      for (const { id, removedBy } of page) marks.set(id, removedBy);
    expect([...old, ...rows].map(({ id }) => marks.get(id))).toEqual([
      ...old.map(() => 'run-1'),
      ...rows.map(() => null),
    ]);
  });

  test('mark and clear rows at the same time without losing a mark', async () => {
    const [one, other] = [await open(), await open()];
    await one.ensureCollection('default', space);
    const rows = Array.from({ length: 40 }, (_, i) => row({ path: `${i}.ts` }));
    await one.upsertRows('default', rows);
    await Promise.all(
      rows.map(({ id }, i) => (i % 2 === 0 ? one : other).markRemoved('default', [id], `run-${i % 4}`)),
    );
    await Promise.all([
      one.clearRemovedMarks('default', 'run-0'),
      other.clearRemovedMarks('default', 'run-1'),
    ]);
    const marks: (string | null)[] = [];
    for await (const page of one.stamps('default', 'app'))
      marks.push(...page.map((stamp) => stamp.removedBy));
    expect(marks.filter((mark) => mark === null)).toHaveLength(20);
    expect(marks.filter((mark) => mark === 'run-2' || mark === 'run-3')).toHaveLength(20);
  });
});
