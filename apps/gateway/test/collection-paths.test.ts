import type { VectorStore } from '@embergate/vector-store/store.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { deleteCollectionHandler, getCollectionHandler } from '../src/routes/collections.ts';
import { startApp, type AppOnPort } from './app-on-port.ts';

let app: AppOnPort;
const asked: string[] = [];

/** Before a fake store that has whatever it is asked for. */
beforeAll(async () => {
  const store = {
    getCollection: async (name: string) => {
      asked.push(name);
      return { name };
    },
    dropCollection: async (name: string) => void asked.push(name),
  } as unknown as VectorStore;
  app = await startApp({
    getCollection: getCollectionHandler(store),
    deleteCollection: deleteCollectionHandler(store, { expectNoneIn: () => Promise.resolve() }),
  });
});
afterAll(() => app.close());

it.each(['GET', 'DELETE'])(
  '%s: a name that no collection can have is unknown, and never asked for',
  async (method) => {
    for (const name of ['a%2Fb', '..%2F..', 'default.0123abc', "x'%20OR%201"])
      expect(await app.ask(method, `/v1/collections/${name}`)).toMatchObject({
        status: 404,
        code: 'collection_not_found',
      });
    expect(asked).toEqual([]);
  },
);

it.each(['/v1/collections/%zz', '/v1/index-jobs/%', '/v1/index-jobs/%ff/events'])(
  'a path with a percent sign that begins no character is the caller’s mistake: %s',
  async (path) => {
    expect(await app.ask('GET', path)).toMatchObject({ status: 400, code: 'invalid_request' });
  },
);
