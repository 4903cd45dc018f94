import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Field, Schema } from 'apache-arrow';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { row, run, space, vectorOf } from '@embergate/vector-store/conformance/samples.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { successorName } from '@embergate/vector-store/successor.ts';
import { createLanceDbStore, type LanceDbStoreOptions } from '../src/lancedb-store.ts';
import { createIndexes } from '../src/maintenance.ts';
import { chunkSchema } from '../src/rows.ts';
import { createTable } from '../src/table-folders.ts';

const fixture = (name: string): string => new URL(`./fixtures/${name}`, import.meta.url).pathname;

let path: string;
let stores: VectorStore[];
let children: ChildProcessWithoutNullStreams[];

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'embergate-lancedb-'));
  stores = [];
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  for (const store of stores) await store.close();
  await rm(path, { recursive: true, force: true });
});

async function open(options: Partial<LanceDbStoreOptions> = {}): Promise<VectorStore> {
  const store = await createLanceDbStore({ path, ...options });
  stores.push(store);
  return store;
}

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

describe('reading all rows of a collection', () => {
  test('goes on for hours, whatever is optimised and given back meanwhile', async () => {
    const reader = await open();
    const writer = await open({ waitingRows: 0, keepReplacedMs: 0 });
    await writer.ensureCollection('default', space);
    const rows = Array.from({ length: 600 }, (_, i) => row({ path: `${i}.ts`, text: `text ${i}` }));
    for (let start = 0; start < rows.length; start += 200)
      await writer.upsertRows('default', rows.slice(start, start + 200));
    const pages = reader.visibleRows('default')[Symbol.asyncIterator]();
    let seen = 0;
    for (let page = await pages.next(); page.done !== true; page = await pages.next()) {
      seen += page.value.length;
      await writer.upsertRows('default', [row({ path: `late-${seen}.ts` })]);
      await writer.optimize('default');
    }
    expect(seen).toBe(rows.length);
  });
});

describe('a folder of an earlier version', () => {
  test('whose collections know nothing of second spaces and pointers works on', async () => {
    const { fields: fieldsNow } = chunkSchema({ name: 'default', space, secondSpace: null, createdAt: '' });
    const fields = fieldsNow.map(({ name, type, nullable, metadata }) =>
      name === 'vector' ? new Field(name, type, false) : new Field(name, type, nullable, metadata),
    );
    const stamp = { name: 'default', space, createdAt: '2026-01-01T00:00:00.000Z' };
    const metadata = new Map([['embergate:collection', JSON.stringify(stamp)]]);
    await createTable({ path, name: 'chunks_default' }, new Schema(fields, metadata), createIndexes);
    const store = await open();
    expect(await store.listCollections()).toEqual([{ ...stamp, secondSpace: null }]);
    await store.ensureCollection('default', space);
    await store.upsertRows('default', [row({ path: 'old.ts' })]);
    const found = await store.searchDense('default', vectorOf(1), { limit: 1, filter: {} });
    expect(found[0]?.path).toBe('old.ts');
    expect(await store.vectorsByHash('default', [row().embeddedHash])).toEqual(
      new Map([[row().embeddedHash, { vector: vectorOf(1), secondVector: null }]]),
    );
    await store.upsertRows('default', [row({ path: 'no-vector-yet.ts', vector: null })]);
    expect(await store.countUnembedded('default')).toEqual([{ repo: 'app', chunks: 1 }]);
    await store.upsertRows('default', [row({ path: 'no-vector-yet.ts' }), row({ path: 'new.ts' })]);
    const all = await store.searchDense('default', vectorOf(1), { limit: 10, filter: {} });
    expect(all.map(({ path: found }) => found).sort()).toEqual(['new.ts', 'no-vector-yet.ts', 'old.ts']);
    expect(await store.getCollection('default')).toEqual({ ...stamp, secondSpace: null });
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

describe('a collection that is damaged', () => {
  test('is named, and hides no other one', async () => {
    const store = await open();
    for (const name of ['broken', 'whole']) await store.ensureCollection(name, space);
    const versions = join(path, 'chunks_broken.lance', '_versions');
    for (const file of await readdir(versions)) await writeFile(join(versions, file), 'no manifest');

    const fresh = await open();
    const unreadable: string[] = [];
    const stamps = await fresh.listCollections((name) => unreadable.push(name));
    expect([stamps.map(({ name }) => name), unreadable]).toEqual([['whole'], ['broken']]);
    await fresh.ping();
    await expect(fresh.listCollections()).rejects.toMatchObject({ code: 'store_down' });
  });
});

describe('optimising', () => {
  const rows = Array.from({ length: 9_000 }, (_, i) => row({ path: `${i}.ts`, text: `text ${i}` }));

  const dataFiles = (): Promise<string[]> => readdir(join(path, 'chunks_default.lance', 'data'));

  test('never takes data from under a reader that started before it', async () => {
    const reader = await open();
    const writer = await open({ waitingRows: 0 });
    await writer.ensureCollection('default', space);
    for (let start = 0; start < rows.length; start += 3_000) {
      await writer.upsertRows('default', rows.slice(start, start + 3_000));
    }
    const pages = reader.stamps('default', 'app')[Symbol.asyncIterator]();
    const first = await pages.next();
    await writer.optimize('default');
    await writer.deleteRows('default', { addedBy: 'run-0' });
    await writer.optimize('default');
    let seen = first.done === true ? 0 : first.value.length;
    for (let page = await pages.next(); page.done !== true; page = await pages.next())
      seen += page.value.length;
    expect(seen).toBe(rows.length);
  });

  test('writes about what a small change changes, and not the table', async () => {
    const store = await open();
    await store.ensureCollection('default', space);
    const many = Array.from({ length: 24_000 }, (_, n) => row({ path: `${n}.ts` }));
    for (let start = 0; start < many.length; start += 8_000) {
      await store.upsertRows('default', many.slice(start, start + 8_000));
    }
    await store.optimize('default');
    const before = (await store.sizeBytes('default')) ?? 0;
    for (const change of [1, 2]) {
      const old = many.slice(change * 550, (change + 1) * 550);
      await store.upsertRows(
        'default',
        old.map(({ path: of }) => row({ path: of, text: `text ${change}` })),
      );
      const ids = old.map(({ id }) => id);
      await store.markRemoved('default', ids, `run-${change}`);
      await store.optimize('default');
      // Nothing that was replaced is deleted yet: what the folder gained is what was written.
      expect(await store.sizeBytes('default')).toBeLessThan(before * (1 + change / 4));
    }
  });

  test('gives the space of deleted rows back once nobody can be reading them', async () => {
    const store = await open({ waitingRows: 0, keepReplacedMs: 0 });
    await store.ensureCollection('default', space);
    await store.upsertRows('default', rows);
    await store.optimize('default');
    await store.deleteRows('default', { addedBy: 'run-0' });
    await store.optimize('default');
    await store.optimize('default');
    expect(await dataFiles()).toEqual([]);
    expect(await store.sizeBytes('default')).toBeGreaterThan(0);
  });

  test('is left alone while too few rows wait, and searches find those by a scan', async () => {
    const store = await open();
    await store.ensureCollection('default', space);
    await store.upsertRows('default', rows.slice(0, 50));
    await store.upsertRows('default', rows.slice(50, 100));
    const files = async (): Promise<number> =>
      (await readdir(join(path, 'chunks_default.lance', 'data'))).length;
    const before = await files();
    await store.optimize('default');
    expect(await files()).toBe(before);
    const found = await store.searchLexical('default', 'text 57', { limit: 1, filter: {} });
    expect(found[0]?.path).toBe('57.ts');
  });
});

describe('a folder that cannot be used', () => {
  test('is reported as such, not as a missing store', async () => {
    const file = join(path, 'a-file');
    await writeFile(file, 'no folder');
    await expect(createLanceDbStore({ path: join(file, 'data') })).rejects.toMatchObject({
      code: 'storage_full',
    });
    await expect(createLanceDbStore({ path: file })).rejects.toMatchObject({ code: 'storage_full' });
  });

  test('that was deleted under a running store makes the ping fail', async () => {
    const store = await open();
    await store.ping();
    await rm(path, { recursive: true });
    await expect(store.ping()).rejects.toMatchObject({ code: 'store_down' });
    await expect(store.searchDense('default', vectorOf(1), { limit: 1, filter: {} })).rejects.toMatchObject({
      code: 'collection_not_found',
    });
  });
});
