import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChunkRow, VectorStore } from '@embergate/vector-store/store.ts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLanceDbStore } from '../src/lancedb-store.ts';
import { createRenewedStore } from '../src/renewed-store.ts';

const SPACE = {
  model: 'm',
  revision: '1',
  dimensions: 2,
  pooling: 'mean' as const,
  normalize: true,
  prompts: { query: '', document: '' },
};
const row = (id: string): ChunkRow => ({
  id,
  repo: 'r',
  path: `${id}.py`,
  language: 'python',
  symbol: '',
  startLine: 1,
  endLine: 1,
  text: id,
  embeddedHash: id,
  lexicalText: id,
  addedBy: 'run',
  removedBy: null,
  vector: Float32Array.of(1, 0),
  secondVector: null,
});

let path: string;
let opened: number;
let closed: number;
let store: VectorStore;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'embergate-renewed-'));
  [opened, closed] = [0, 0];
  store = await createRenewedStore(
    async () => {
      const inner = await createLanceDbStore({ path });
      opened += 1;
      const close = inner.close.bind(inner);
      inner.close = () => ((closed += 1), close());
      return inner;
    },
    { upserts: 2 },
  );
  await store.ensureCollection('c', SPACE);
});
afterEach(() => rm(path, { recursive: true, force: true }));

it('a store that is opened anew after every second write loses nothing, and closes what it has opened', async () => {
  const writes = Array.from({ length: 7 }, (_, n) => store.upsertRows('c', [row(`a${n}`)]));
  await Promise.all(writes);
  // A reading that began before a renewal goes on after it.
  const pages = store.stamps('c', 'r')[Symbol.asyncIterator]();
  const first = await pages.next();
  for (let n = 0; n < 5; n++) await store.upsertRows('c', [row(`b${n}`)]);
  const read = [first.value ?? []];
  for (let page = await pages.next(); page.done !== true; page = await pages.next()) read.push(page.value);
  expect(read.flat()).toHaveLength(7);
  expect(await store.countByRepo('c')).toEqual([{ repo: 'r', chunks: 12 }]);
  expect(opened).toBeGreaterThan(3);
  await store.close();
  expect(closed).toBe(opened);
});

it('no store writes while another one still does: they would be in each other’s way', async () => {
  const underWay = new Map<VectorStore, number>();
  const together: number[] = [];
  const watched = await createRenewedStore(
    async () => {
      const inner = await createLanceDbStore({ path });
      for (const name of ['upsertRows', 'optimize'] as const) {
        const write = inner[name].bind(inner) as (...args: unknown[]) => Promise<void>;
        inner[name] = async (...args: unknown[]) => {
          underWay.set(inner, (underWay.get(inner) ?? 0) + 1);
          together.push([...underWay.values()].filter((writes) => writes > 0).length);
          await write(...args).finally(() => underWay.set(inner, (underWay.get(inner) ?? 0) - 1));
        };
      }
      return inner;
    },
    { upserts: 2 },
  );
  await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      n % 3 === 0 ? watched.optimize('c') : watched.upsertRows('c', [row(`a${n}`)]),
    ),
  );
  expect(together).toHaveLength(20);
  expect(Math.max(...together)).toBe(1);
  expect(underWay.size).toBeGreaterThan(3);
  await watched.close();
});

it('failures reach the caller as they are', async () => {
  await expect(store.upsertRows('none', [row('a')])).rejects.toMatchObject({ code: 'collection_not_found' });
});
