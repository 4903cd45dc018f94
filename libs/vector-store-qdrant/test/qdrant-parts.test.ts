import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { row, vectorOf } from '@embergate/vector-store/conformance/samples.ts';
import { parsePathGlob } from '@embergate/vector-store/path-glob.ts';
import { parseEndpoint } from '../src/endpoint.ts';
import { toStoreError } from '../src/failures.ts';
import { firstMatching } from '../src/first-matching.ts';
import { batchesOf, pointId, pointOf, visibleRowOf } from '../src/points.ts';
import { applyQuantization } from '../src/quantization.ts';
import { createQdrantStore, openQdrantStore } from '../src/qdrant-store.ts';
import { documentVector, queryVector } from '../src/sparse-vector.ts';

describe('QDRANT_URL', () => {
  test.each([
    ['http://localhost', 'localhost', 6333, false, ''],
    ['http://localhost:80', 'localhost', 80, false, ''],
    ['http://10.0.0.7:7000/', '10.0.0.7', 7000, false, ''],
    ['https://cloud.example', 'cloud.example', 443, true, ''],
    ['https://cloud.example:6333', 'cloud.example', 6333, true, ''],
    ['https://proxy.example/vectors/qdrant/', 'proxy.example', 443, true, '/vectors/qdrant'],
    ['http://[::1]:6333', '[::1]', 6333, false, ''],
  ])('%s reaches the host, port and path it names', (url, host, port, https, prefix) => {
    expect(parseEndpoint(url)).toEqual({ host, port, https, prefix });
  });

  test.each([
    ...['localhost:6333', 'grpc://localhost:6334', '', 'http://'],
    // The client would drop these without a word.
    ...['http://me:secret@localhost:6333', 'http://localhost:6333/?api-key=secret', 'http://localhost/#x'],
  ])('"%s" stops the start', (url) => {
    expect(() => createQdrantStore({ url })).toThrow(expect.objectContaining({ code: 'config_invalid' }));
  });
});

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
    ['Service internal error: vector is broken', 'store_refused'],
    ['No space left on device', 'storage_full'],
  ])('has failed is one that no job waits for: %s', async (error, code) => {
    const { server, url } = await startOptimizing({ status: 'red', optimizer_status: { error } });
    const optimizing = createQdrantStore({ url }).optimize('big');
    await expect(optimizing).rejects.toMatchObject({
      code,
      message: expect.stringContaining(error) as string,
    });
    server.close();
  });
});

describe('a collection that gets another quantisation', () => {
  test.each([
    [['dense'], ['dense']],
    [
      ['dense', 'second'],
      ['dense', 'second'],
    ],
  ])('keeps all of its vectors alike: %s', async (there, changed) => {
    const updates: Record<string, unknown>[] = [];
    const client = { updateCollection: async (_name: string, update: object) => updates.push({ ...update }) };
    const vectors = Object.fromEntries(there.map((name) => [name, { size: 4 }]));
    await applyQuantization(client as never, 'embergate_chunks_x', {
      wanted: 'scalar',
      config: { params: { vectors } } as never,
    });
    expect(updates).toMatchObject([
      { vectors: Object.fromEntries(changed.map((name) => [name, { on_disk: true }])) },
    ]);
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

describe('points', () => {
  test('have a UUID that follows from the row id, and no two rows share one', () => {
    const ids = new Set(Array.from({ length: 10_000 }, (_, i) => pointId(`row-${i}`)));
    expect(ids.size).toBe(10_000);
    expect(pointId('row-1')).toBe(pointId('row-1'));
    expect(pointId('row-1')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test('say in which folders a row lies, and nothing of a removal that was not', () => {
    const { payload } = pointOf(row({ path: 'src/http/router.ts' }));
    expect(payload).toMatchObject({ folders: ['src', 'src/http'], addedBy: 'run-0' });
    expect(payload).not.toHaveProperty('removedBy');
    expect(payload).not.toHaveProperty('lexicalText');
  });

  test('say whether full text finds them', () => {
    for (const [changes, found] of [
      [{}, true],
      [{ lexicalText: '' }, false],
      [{ vector: null }, true],
    ] as const) {
      const point = pointOf(row(changes));
      expect(visibleRowOf(point as Parameters<typeof visibleRowOf>[0]).lexical).toBe(found);
    }
  });

  test.each([
    ['vectors of 3584 numbers', row({ vector: new Float32Array(3_584).map(() => Math.random()) })],
    ['long texts of many bytes a character', row({ text: '漢'.repeat(40_000) })],
    ['small rows', row()],
  ])('go in batches that a server takes: %s', (_, one) => {
    const rows = Array.from({ length: 700 }, () => one);
    const batches = [...batchesOf(rows)];
    expect(batches.flat()).toHaveLength(rows.length);
    for (const batch of batches) {
      const bytes = Buffer.byteLength(JSON.stringify({ points: batch.map(pointOf) }));
      expect(bytes).toBeLessThan(8 * 1024 * 1024);
    }
  });
});

describe('sparse vectors', () => {
  test('weigh a second mention less than the first, and a long text less than a short one', () => {
    const [once_, twice] = [documentVector('header other'), documentVector('header header')];
    const [one, two] = [once_.values[0] ?? 0, twice.values[0] ?? 0];
    expect(two).toBeGreaterThan(one);
    expect(two).toBeLessThan(2 * one);
    expect(documentVector(`header ${'filler '.repeat(500)}`).values[0]).toBeLessThan(one);
  });

  test('meet when the terms are equal, and nowhere else', () => {
    const document = documentVector('parse http header');
    const query = queryVector(['header', 'body']);
    expect(query.indices.filter((index) => document.indices.includes(index))).toHaveLength(1);
    for (const index of query.indices) expect(index).toBeLessThan(2 ** 32);
  });
});

describe('a glob that the server cannot evaluate', () => {
  const ranking = Array.from({ length: 10_000 }, (_, i) => ({
    path: i % 1_000 === 999 ? `${i}.py` : `${i}.ts`,
  }));

  test('is looked for down to the end of the ranking, in few requests', async () => {
    const sizes: number[] = [];
    const read = async (size: number): Promise<{ path: string }[]> => {
      sizes.push(size);
      return ranking.slice(0, size);
    };
    const found = await firstMatching(parsePathGlob('*.py'), 100, read);
    expect(found.map(({ path }) => path)).toEqual(
      ranking.filter((_, i) => i % 1_000 === 999).map(({ path }) => path),
    );
    expect(sizes).toEqual([256, 1_024, 4_096, 16_384]);
    expect(await firstMatching(parsePathGlob('*.ts'), 3, read)).toHaveLength(3);
    expect(sizes).toHaveLength(5);
  });
});

test('a vector is sent as the numbers it holds', () => {
  const vector = vectorOf(0.1, 0.2, 0.3);
  expect(Float32Array.from(JSON.parse(JSON.stringify(Array.from(vector))) as number[])).toEqual(vector);
});
