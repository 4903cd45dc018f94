import { AppError } from '@embergate/contracts/errors.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { createLanceDbStore } from '@embergate/vector-store-lancedb/lancedb-store.ts';
import { space } from '@embergate/vector-store/conformance/samples.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collectionList, deleteCollectionHandler } from '../src/routes/collections.ts';
import { startApp, type AppOnPort } from './app-on-port.ts';

describe('a collection that is deleted', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let store: VectorStore;
  let app: AppOnPort;
  /** A collection that a job is indexing into. */
  let busy: string | undefined;

  beforeEach(async () => {
    folder = await temporaryFolder('delete');
    busy = undefined;
    store = await createLanceDbStore({ path: folder.path });
    for (const name of ['broken', 'whole']) await store.ensureCollection(name, space);
    await store.close();
  });
  afterEach(async () => {
    await app.close();
    await store.close();
    await folder.remove();
  });

  const versions = (name: string): string => join(folder.path, `chunks_${name}.lance`, '_versions');
  /** A gateway that has not seen the folder before. */
  async function start(): Promise<void> {
    store = await createLanceDbStore({ path: folder.path });
    const expectNoneIn = async (name: string): Promise<void> => {
      if (name === busy) throw new AppError('job_running', 'Job job-1 has not ended.');
    };
    app = await startApp({ deleteCollection: deleteCollectionHandler(store, { expectNoneIn }) });
  }
  const remove = (name: string) => app.ask('DELETE', `/v1/collections/${name}`);

  it('may be damaged: it goes, the others stay, and its name can be used again', async () => {
    for (const file of await readdir(versions('broken')))
      await writeFile(join(versions('broken'), file), 'no manifest');
    await start();
    expect((await collectionList(store)).unreadable.map(({ name }) => name)).toEqual(['broken']);
    expect(await remove('broken')).toEqual({ status: 204 });
    const { data, unreadable } = await collectionList(store);
    expect([data.map(({ name }) => name), unreadable]).toEqual([['whole'], []]);
    expect(await remove('broken')).toMatchObject({ status: 404, code: 'collection_not_found' });
    await store.ensureCollection('broken', space);
    expect(await store.countByRepo('broken')).toEqual([]);
  });

  it('may have lost all that says what it is', async () => {
    await rm(versions('broken'), { recursive: true });
    await start();
    expect(await remove('broken')).toEqual({ status: 204 });
    await store.ensureCollection('broken', space);
  });

  it('is no other one’s name, and has no job that would go on writing to it, damaged or not', async () => {
    await start();
    expect(await remove('nobody')).toMatchObject({ status: 404, code: 'collection_not_found' });
    busy = 'whole';
    expect(await remove('whole')).toMatchObject({ status: 409, code: 'job_running' });
    expect((await store.listCollections()).map(({ name }) => name).sort()).toEqual(['broken', 'whole']);
  });
});
