import { ROUTES, type RouteName } from '@embergate/contracts/routes.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createApp, type Handlers } from '../src/app.ts';
import { deleteCollectionHandler, getCollectionHandler } from '../src/routes/collections.ts';

let server: Server;
const asked: string[] = [];

/** The gateway's own app before a fake store that has whatever it is asked for. */
beforeAll(async () => {
  const store = {
    getCollection: async (name: string) => {
      asked.push(name);
      return { name };
    },
    dropCollection: async (name: string) => void asked.push(name),
  } as unknown as VectorStore;
  const unused = Object.keys(ROUTES).map((name) => [name, () => undefined]);
  const handlers = {
    ...(Object.fromEntries(unused) as Record<RouteName, () => undefined>),
    getCollection: getCollectionHandler(store),
    deleteCollection: deleteCollectionHandler(store),
  } satisfies Handlers;
  server = createServer(createApp({ handlers, keys: null, log: createLogger('test', 'silent') }));
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterAll(async () => {
  await once(server.close(), 'close');
});

async function ask(method: string, path: string): Promise<Record<string, unknown>> {
  const { port } = server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method });
  return { status: response.status, ...((await response.json()) as object) };
}

it.each(['GET', 'DELETE'])(
  '%s: a name that no collection can have is unknown, and never asked for',
  async (method) => {
    for (const name of ['a%2Fb', '..%2F..', 'default.0123abc', "x'%20OR%201"])
      expect(await ask(method, `/v1/collections/${name}`)).toMatchObject({
        status: 404,
        code: 'collection_not_found',
      });
    expect(asked).toEqual([]);
  },
);

it.each(['/v1/collections/%zz', '/v1/index-jobs/%', '/v1/index-jobs/%ff/events'])(
  'a path with a percent sign that begins no character is the caller’s mistake: %s',
  async (path) => {
    expect(await ask('GET', path)).toMatchObject({ status: 400, code: 'invalid_request' });
  },
);
