import { ROUTES, type RouteName } from '@embergate/contracts/routes.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createApp, type Handlers } from '../src/app.ts';

export interface AppOnPort {
  /** @returns the body, with the status. */
  ask: (method: string, path: string, body?: unknown) => Promise<Record<string, unknown>>;
  close: () => Promise<void>;
}

/** The gateway's own app with some of its handlers; the others answer nothing. */
export async function startApp(some: Partial<Handlers>): Promise<AppOnPort> {
  const unused = Object.keys(ROUTES).map((name) => [name, () => undefined]);
  const handlers = { ...(Object.fromEntries(unused) as Record<RouteName, () => undefined>), ...some };
  const server = createServer(createApp({ handlers, keys: null, log: createLogger('test', 'silent') }));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    ask: async (method, path, body) => {
      const headers = { 'content-type': 'application/json' };
      const sent = body === undefined ? {} : { headers, body: JSON.stringify(body) };
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, ...sent });
      const text = await response.text();
      return { status: response.status, ...(text === '' ? {} : (JSON.parse(text) as object)) };
    },
    close: async () => void (await once(server.close(), 'close')),
  };
}
