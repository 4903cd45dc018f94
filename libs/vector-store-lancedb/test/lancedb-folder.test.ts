import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Field, Schema } from 'apache-arrow';
import { describe, expect, test } from 'vitest';
import { row, space, vectorOf } from '@embergate/vector-store/conformance/samples.ts';
import type { ChunkRow } from '@embergate/vector-store/store.ts';
import { connectBounded } from '../src/bounded-connection.ts';
import { createLanceDbStore } from '../src/lancedb-store.ts';
import { createIndexes } from '../src/maintenance.ts';
import { chunkSchema } from '../src/rows.ts';
import { createTable } from '../src/table-folders.ts';
import { path, open, useStoreFolder } from './store-folder.ts';

useStoreFolder();

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
      // Nothing that was replaced is deleted yet: what the folder gained is what was written, with the second change full text anew.
      expect(await store.sizeBytes('default')).toBeLessThan(before * (1 + change * 0.3));
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

test.runIf(process.platform === 'linux')(
  'a write reads the ids of rows that are there, and nothing else of them',
  async () => {
    const store = await open({ waitingRows: 0 });
    await store.ensureCollection('default', space);
    // So that there is an index of ids that does not hold the rows after it.
    await store.upsertRows('default', [row()]);
    await store.optimize('default');
    const long = Array.from({ length: 500 }, () => row({ text: randomBytes(20_000).toString('hex') }));
    await store.upsertRows('default', long);
    const before = await readBytes();
    await store.upsertRows('default', [
      { ...(long[7] as ChunkRow), vector: vectorOf(2, 1) },
      row({ path: 'new.ts' }),
    ]);
    expect((await readBytes()) - before).toBeLessThan(1_000_000);
    expect(await store.countByRepo('default')).toEqual([{ repo: 'app', chunks: 502 }]);
  },
);

/** Of files, by this process, until now. */
async function readBytes(): Promise<number> {
  return Number(/rchar: (\d+)/.exec(await readFile('/proc/self/io', 'utf8'))?.[1]);
}

test('what was read of tables is kept for the next search, and no more of it than the caches may hold', async () => {
  const writer = await open({ waitingRows: 0 });
  await writer.ensureCollection('default', space);
  const rows = Array.from({ length: 2_000 }, (_, n) => row({ path: `${n}.ts`, text: `word${n} other${n}` }));
  await writer.upsertRows('default', rows);
  await writer.optimize('default');
  const bytesKept = async (bytes: number): Promise<number> => {
    const caches = { indexBytes: BigInt(Math.round(bytes)), metadataBytes: BigInt(Math.round(bytes)) };
    const { connection, session } = await connectBounded(path, caches);
    const table = await connection.openTable('chunks_default');
    for (const { id } of rows.slice(0, 20)) await table.query().where(`id = '${id}'`).toArray();
    await table.query().fullTextSearch('word7').limit(1).toArray();
    connection.close();
    return Number(session.sizeBytes());
  };
  const whole = await bytesKept(1_000_000_000);
  expect(whole).toBeGreaterThan(100_000);
  expect(await bytesKept(whole / 10)).toBeLessThan(whole / 2);
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
