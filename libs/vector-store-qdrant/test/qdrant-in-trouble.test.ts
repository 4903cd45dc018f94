import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { toStoreError } from '../src/failures.ts';
import { createQdrantStore, openQdrantStore } from '../src/qdrant-store.ts';

describe('a Qdrant that is away', () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  /** Stands in for a Qdrant in trouble, which a real one cannot be asked to be. */
  async function startTrouble(
    answers: (number | null)[],
    headers: Record<string, string> = {},
  ): Promise<{ url: string; requests: () => number }> {
    let requests = 0;
    server = createServer((request, response) => {
      const status = answers[requests++] ?? 200;
      if (answers[requests - 1] === null) request.socket.destroy();
      else
        response
          .writeHead(status, { 'content-type': 'application/json', ...headers })
          .end(
            JSON.stringify({ result: { collections: [] }, status: status < 300 ? 'ok' : { error: 'busy' } }),
          );
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests: () => requests };
  }

  test('is reported as away, soon', async () => {
    const { url } = await startTrouble([]);
    await new Promise((resolve) => server?.close(resolve));
    const start = performance.now();
    await expect(createQdrantStore({ url }).ping()).rejects.toMatchObject({ code: 'store_down' });
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  test('for a moment only is asked again: 5xx, 429 and a broken connection', async () => {
    for (const answer of [503, 429, null]) {
      const { url, requests } = await startTrouble([answer, answer, 200]);
      await createQdrantStore({ url }).ping();
      expect(requests()).toBe(3);
      server?.close();
    }
  });

  test('for a moment in the middle of a long reading is asked for that page again, and for none that it has given', async () => {
    const asked: unknown[] = [];
    server = createServer((request, response) => {
      void (async () => {
        const body = JSON.parse((await request.toArray()).join('') || '{}') as { offset?: string };
        const isScroll = request.url?.includes('/scroll') ?? false;
        if (isScroll) asked.push(body.offset ?? 'first');
        const status = isScroll && asked.length === 2 ? 503 : isScroll ? 200 : 404;
        const points = [{ id: asked.length, payload: { id: `row-${asked.length}` } }];
        const result = { points, next_page_offset: body.offset === undefined ? 'second' : null };
        response
          .writeHead(status, { 'content-type': 'application/json' })
          .end(JSON.stringify({ result, status: status === 200 ? 'ok' : { error: 'busy' } }));
      })();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const store = createQdrantStore({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    const ids: string[] = [];
    for await (const page of store.stamps('code', 'sample')) ids.push(...page.map(({ id }) => id));
    expect(asked).toEqual(['first', 'second', 'second']);
    expect(ids).toEqual(['row-1', 'row-3']);
  });

  test('for longer is not asked for ever, and what it refuses not at all', async () => {
    const busy = await startTrouble([503, 503, 503, 503]);
    await expect(createQdrantStore({ url: busy.url }).ping()).rejects.toMatchObject({ code: 'store_down' });
    expect(busy.requests()).toBe(3);
    server?.close();
    const refusing = await startTrouble([400, 200]);
    await expect(createQdrantStore({ url: refusing.url }).ping()).rejects.toMatchObject({
      code: 'store_refused',
    });
    expect(refusing.requests()).toBe(1);
  });

  test('because it limits the rate is asked again after a short wait, and otherwise says how long', async () => {
    const soon = await startTrouble([429, 200], { 'retry-after': '1' });
    await createQdrantStore({ url: soon.url }).ping();
    expect(soon.requests()).toBe(2);
    server?.close();
    const later = await startTrouble([429, 200], { 'retry-after': '9' });
    await expect(createQdrantStore({ url: later.url }).ping()).rejects.toMatchObject({
      code: 'store_busy',
      details: { retryAfterMs: 9_000 },
    });
    expect(later.requests()).toBe(1);
  });

  test.each([
    [
      500,
      'Service internal error: No space left on device: WAL buffer size exceeds available disk space',
      'storage_full',
    ],
    [404, "Not found: Collection `embergate_chunks_x` doesn't exist!", 'collection_not_found'],
    [400, 'Wrong input: Vector dimension error: expected dim: 4, got 3', 'space_mismatch'],
    [
      400,
      'Bad request: Limit exceeded 256 > 10 for "upsert limit". Help: Reduce the parameter.',
      'store_refused',
    ],
    [413, 'JSON payload is larger than allowed', 'store_refused'],
    [401, 'Must provide an API key', 'store_denied'],
    [403, 'Forbidden: Global access is required', 'store_denied'],
    [403, 'Forbidden: Write operations are locked', 'store_refused'],
    [408, 'Timeout: operation timed out', 'store_down'],
  ])('or in trouble says which: %i, %s', (status, error, code) => {
    const failure = Object.assign(new Error('http'), { status, data: { status: { error } } });
    const found = toStoreError(failure, 'x');
    expect(found.code).toBe(code);
    if (code === 'store_denied') expect(found.message).toContain('QDRANT_API_KEY');
  });
});

describe('a server whose optimizer', () => {
  /** Stands in for a Qdrant with one collection, in a state that a real one cannot be asked to be in. */
  async function startOptimizing(state: object): Promise<{ server: Server; url: string }> {
    const server = createServer((request, response) => {
      const isCollection = request.url === '/collections/embergate_chunks_big';
      const answer = isCollection ? { status: 'ok', result: state } : { status: { error: 'Not found' } };
      response
        .writeHead(isCollection ? 200 : 404, { 'content-type': 'application/json' })
        .end(JSON.stringify(answer));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  }

  test('is busy with what others write does not hold a small job up', async () => {
    const { server, url } = await startOptimizing({ status: 'yellow', optimizer_status: 'ok' });
    await createQdrantStore({ url }).optimize('big');
    server.close();
  }, 30_000);

  test.each([
    ['Service internal error: vector is broken'],
    // Said still when there is space again: storage_full would be waited for.
    ['No space left on device'],
  ])('has failed is one that no job waits for: %s', async (error) => {
    const { server, url } = await startOptimizing({ status: 'red', optimizer_status: { error } });
    const optimizing = createQdrantStore({ url }).optimize('big');
    await expect(optimizing).rejects.toMatchObject({
      code: 'store_refused',
      message: expect.stringContaining(error) as string,
    });
    server.close();
  });
});

describe('a process that starts', () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  /** Stands in for servers that are not the one of the tests: another version, another key. */
  async function startServer(answer: (path: string) => { status: number; body: unknown }): Promise<string> {
    server = createServer((request, response) => {
      const { status, body } = answer(request.url ?? '');
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  const qdrant = (version: string) => (path: string) => ({
    status: 200,
    body: path === '/' ? { title: 'qdrant', version } : { result: { collections: [] }, status: 'ok' },
  });

  test('stops where the API key is wrong, and names the setting', async () => {
    const url = await startServer(() => ({
      status: 401,
      body: { status: { error: 'Invalid API key or JWT' } },
    }));
    await expect(openQdrantStore({ url, apiKey: 'wrong' })).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('Set QDRANT_API_KEY') as string,
    });
  });

  test('stops where the server is too old, or none at all', async () => {
    const old = await startServer(qdrant('1.15.5'));
    await expect(openQdrantStore({ url: old })).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('1.15.5') as string,
    });
    server?.close();
    const other = await startServer(() => ({ status: 404, body: 'nothing here' }));
    await expect(openQdrantStore({ url: other })).rejects.toMatchObject({ code: 'config_invalid' });
  });

  test('goes on with a server that fits, and with one that is not there yet', async () => {
    const url = await startServer(qdrant('1.16.0'));
    await openQdrantStore({ url });
    server?.close();
    await openQdrantStore({ url: 'http://127.0.0.1:9' });
  });
});
