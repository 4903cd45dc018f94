import { Batcher } from '@embergate/embedding/batcher.ts';
import { createLogger, type Logger } from '@embergate/platform/logs.ts';
import { LiveFit } from '@embergate/routing/fit.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RemoteBackend, type RemoteBackendOptions } from '../src/remote-backend.ts';
import {
  DIMENSIONS,
  embeddings,
  FakeApi,
  isProbe,
  json,
  vectorOf,
  type Act,
  type Asked,
} from './fake-api.ts';

const KEY = 'sk-secret-0123456789';
const closing: (() => Promise<void>)[] = [];
let api: FakeApi;
beforeEach(async () => {
  api = await FakeApi.start();
  closing.push(() => api.kill());
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A backend before the fake API; `said` are its log lines, `told` what it said of itself. */
function open(options: Partial<RemoteBackendOptions> = {}) {
  const said: { level: string; why: unknown; all: string }[] = [];
  const told: boolean[] = [];
  const keep = (level: string) => (figures: Record<string, unknown>, msg: string) =>
    void said.push({ level, why: figures['why'], all: JSON.stringify([figures, msg]) });
  const log: Logger = Object.assign(createLogger('test', 'silent'), {
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
  });
  const backend = new RemoteBackend({
    address: api.url,
    apiKey: KEY,
    model: 'the-model',
    space: { dimensions: DIMENSIONS, normalize: true },
    log,
    onAvailable: (available) => told.push(available),
    ...options,
  });
  closing.push(() => backend.close());
  return { backend, said, told };
}

async function openReady(options: Partial<RemoteBackendOptions> = {}) {
  const opened = open(options);
  await opened.backend.whenReady();
  return opened;
}

const embed = (backend: RemoteBackend, texts: string[], hangMs = 5_000) =>
  backend.embed(
    texts.map(() => new Uint32Array(3)),
    { texts, hangMs },
  );
const rows = (vectors: Float32Array): number[][] =>
  Array.from({ length: vectors.length / DIMENSIONS }, (_, at) => [
    ...vectors.subarray(at * DIMENSIONS, (at + 1) * DIMENSIONS),
  ]);
/** The fake's own vectors of these texts, in this order, but for the last bits of a float. */
function expectVectorsOf(texts: readonly string[], vectors: Float32Array): void {
  const expected = texts.flatMap(vectorOf);
  expect(vectors).toHaveLength(expected.length);
  const furthest = Math.max(...expected.map((value, at) => Math.abs(value - (vectors[at] ?? NaN))));
  expect(furthest, texts.join()).toBeLessThan(1e-6);
}
/** Acts so on all but probes. */
const onBatches = (act: Act) => (asked: Asked) => (isProbe(asked) ? undefined : act);

describe('what is asked of an API', () => {
  it.each([
    ['', '/v1/embeddings'],
    ['/', '/v1/embeddings'],
    ['/v1', '/v1/embeddings'],
    ['/v1/', '/v1/embeddings'],
    ['/openai/v3/embeddings', '/openai/v3/embeddings'],
    ['/deployments/x?api-version=1', '/deployments/x/embeddings?api-version=1'],
  ])('%j means OpenAI’s API at %s', async (path, asked) => {
    const { backend } = await openReady({ address: api.url + path });
    const { vectors } = await embed(backend, ['one', 'two']);
    expectVectorsOf(['one', 'two'], vectors);
    const last = api.asked.at(-1);
    expect(last?.path).toBe(asked);
    expect(last?.headers.authorization).toBe(`Bearer ${KEY}`);
    expect(last?.body).toEqual({ model: 'the-model', input: ['one', 'two'], encoding_format: 'float' });
  });

  it.each(['/embed', '/some/where/embed/'])('%j means text-embeddings-inference', async (path) => {
    const { backend } = await openReady({ address: api.url + path, apiKey: undefined });
    const { vectors } = await embed(backend, ['one', 'two']);
    expectVectorsOf(['one', 'two'], vectors);
    const last = api.asked.at(-1);
    expect(last?.path).toBe(path.replace(/\/$/, ''));
    expect(last?.headers.authorization).toBeUndefined();
    expect(last?.body).toEqual({ inputs: ['one', 'two'], truncate: true, normalize: true });
  });

  it('is as much of a text as the model itself would read', async () => {
    const cut = (text: string, ids: Uint32Array) => text.slice(0, ids.length);
    const { backend } = await openReady({ cut });
    await embed(backend, ['a long text', 'on']);
    expect(api.asked.at(-1)?.body).toMatchObject({ input: ['a l', 'on'] });
  });

  it('is at most 32 texts a request, and what comes back is in their order', async () => {
    const { backend } = await openReady();
    const texts = Array.from({ length: 70 }, (_, n) => `${String.fromCharCode(65 + n)} text`);
    const { vectors } = await embed(backend, texts);
    expectVectorsOf(texts, vectors);
    expect(api.batches.map((batch) => batch.length).toSorted()).toEqual([32, 32, 6]);
  });

  it('holds no half of a surrogate pair, which many servers cannot read', async () => {
    const { backend } = await openReady();
    await embed(backend, ['cut \ud83d']);
    expect(api.batches).toEqual([['cut \ufffd']]);
  });

  it('is nothing where the texts are missing', async () => {
    const { backend } = await openReady();
    await expect(backend.embed([new Uint32Array(3)])).rejects.toMatchObject({ code: 'embedding_failed' });
    expect(api.batches).toEqual([]);
  });
});

describe('vectors that come back', () => {
  it('may be in any order, in base64, and of any length', async () => {
    const { backend } = await openReady();
    const base64 = (text: string) =>
      Buffer.from(Float32Array.from(vectorOf(text), (value) => 3 * value).buffer).toString('base64');
    const data = [
      { index: 1, embedding: base64('two') },
      { index: 0, embedding: vectorOf('one').map((value) => value / 9) },
    ];
    api.act = onBatches(json(200, { data }));
    expectVectorsOf(['one', 'two'], (await embed(backend, ['one', 'two'])).vectors);
  });

  it('stay as they are where the space does not normalise', async () => {
    const { backend } = await openReady({ space: { dimensions: DIMENSIONS, normalize: false } });
    api.act = onBatches(embeddings([[3, 0, 0, 4]]));
    expect(rows((await embed(backend, ['one'])).vectors)).toEqual([[3, 0, 0, 4]]);
  });

  it.each<[string, Act, RegExp]>([
    ['too few', embeddings([vectorOf('one')]), /1 vectors to 2 texts/],
    ['too many', embeddings(['a', 'b', 'c'].map(vectorOf)), /3 vectors to 2 texts/],
    [
      'of another dimension',
      embeddings([
        [1, 2, 3],
        [1, 2, 3],
      ]),
      /3 dimensions, the model has 4/,
    ],
    ['not finite', embeddings([vectorOf('a'), [1, null, 1, 1]]), /no finite number/],
    ['larger than a float', embeddings([vectorOf('a'), [1e300, 1, 1, 1]]), /no finite number/],
    ['zero', embeddings([vectorOf('a'), [0, 0, 0, 0]]), /zero/],
    [
      'two of one text',
      json(200, { data: [0, 0].map((index) => ({ index, embedding: vectorOf('a') })) }),
      /one index each/,
    ],
    ['something else', json(200, { vectors: [] }), /not a list/],
    ['no JSON', (response) => void response.writeHead(200).end('<html>'), /not JSON/],
    ['half of it', (response) => void response.writeHead(200).end('{"data": ['), /not JSON/],
    ['without end', endless, /too long/],
  ])('%s are refused, and another batch is not', async (_what, act, why) => {
    const { backend, told } = await openReady();
    api.act = onBatches(act);
    await expect(embed(backend, ['one', 'two'])).rejects.toMatchObject({
      code: 'embedding_failed',
      message: expect.stringMatching(why) as string,
      details: {},
    });
    expect(told).toEqual([true]);
    api.act = undefined;
    expectVectorsOf(['two'], (await embed(backend, ['two'])).vectors);
  });

  it('that are wrong for a text that is known to be good, too, make the API away', async () => {
    api.act = () => embeddings([[1, 2, 3]]);
    const { backend, said } = open();
    await eventually('it says why', () => said.length > 0);
    expect(said[0]?.why).toMatch(/3 dimensions, the model has 4/);
    expect(backend.isReady).toBe(false);
    api.act = undefined;
    await backend.whenReady();
  });
});

/** A body that never ends. */
function endless(this: void, response: Parameters<Act>[0]): void {
  response.writeHead(200);
  const more = (): void => {
    while (!response.destroyed && response.write('[[0.1,'.repeat(10_000)));
    if (!response.destroyed) response.once('drain', more);
  };
  more();
}

describe('an API that is away', () => {
  it.each<[string, Act, RegExp, string]>([
    [
      '401',
      json(401, { error: { message: `bad key ${KEY}`, code: 'invalid_api_key' } }),
      /401 invalid_api_key; see REMOTE_EMBEDDING_API_KEY/,
      'error',
    ],
    ['403', json(403, { message: KEY }), /403; see REMOTE_EMBEDDING_API_KEY/, 'error'],
    [
      '404',
      json(404, { error: { message: 'no model', type: 'NotFound', code: 404 } }),
      /404 NotFound; see REMOTE_EMBEDDING_URL and REMOTE_EMBEDDING_MODEL/,
      'error',
    ],
    [
      'a redirect',
      (response) => void response.writeHead(307, { location: 'http://127.0.0.1:9/' }).end(),
      /307; redirects are not followed/,
      'error',
    ],
    [
      '429',
      json(429, { error: { type: 'requests', code: 'rate_limit_exceeded' } }),
      /429 rate_limit_exceeded/,
      'warn',
    ],
    ['503', json(503, { error: 'busy with some text', error_type: 'Overloaded' }), /503 Overloaded/, 'warn'],
    ['502', (response) => void response.writeHead(502).end('<html>bad gateway</html>'), /502/, 'warn'],
    ['a broken connection', (response) => void response.destroy(), /cannot be reached/, 'warn'],
  ])(
    '%s: says so once and is not ready; whoever asked is told that it was not the text',
    async (_what, act, why, level) => {
      const { backend, said, told } = await openReady();
      api.act = () => act;
      await expect(embed(backend, ['a text of a user'])).rejects.toMatchObject({
        code: 'embedding_failed',
        message: expect.stringMatching(why) as string,
        details: { isAway: true },
      });
      expect([backend.isReady, told]).toEqual([false, [true, false]]);
      expect(backend.whyAway).toMatchObject({ code: 'embedding_failed', details: { isAway: true } });
      const probes = api.asked.length;
      if (level === 'warn') await eventually('it is probed', () => api.asked.length > probes + 1);
      expect(said.map((line) => line.level)).toEqual(['info', level]);
      expect(JSON.stringify(said)).not.toMatch(new RegExp(`${KEY}|text of a user|some text`));
      if (level === 'error') return; // these are probed rarely
      api.act = undefined;
      await backend.whenReady();
      expect(told).toEqual([true, false, true]);
    },
  );

  it('is not asked before the time that it names, in seconds or as a date', async () => {
    for (const header of [() => '2', () => new Date(Date.now() + 3_000).toUTCString()]) {
      const { backend } = await openReady();
      api.act = () => json(429, {}, { 'retry-after': header() });
      await embed(backend, ['one']).catch(() => undefined);
      api.act = undefined;
      const [asked, since] = [api.asked.length, performance.now()];
      await backend.whenReady();
      expect(api.asked.length).toBe(asked + 1);
      expect(performance.now() - since).toBeGreaterThan(1_000);
      await backend.close();
    }
  });

  it('from the start: it is waited for', async () => {
    await api.kill();
    const { backend, said } = open();
    await eventually('it says why', () => said.length > 0);
    expect(said[0]?.why).toMatch(/cannot be reached \(ECONNREFUSED\)/);
    const again = await FakeApi.start(api.port);
    closing.push(() => again.kill());
    await backend.whenReady();
  });

  it('while nobody asks: it is found out', async () => {
    const { backend, told } = await openReady();
    await api.kill();
    await eventually('it says that it is away', () => told.includes(false));
    expect(backend.isReady).toBe(false);
  });

  it('hangs: the request is given up at its limit, and where good texts hang too, the API is away', async () => {
    const { backend, told } = await openReady();
    const silence: Act = () => undefined;
    api.act = onBatches(silence);
    const startedAt = performance.now();
    const slow = { code: 'embedding_failed', message: expect.stringContaining('in time') as string };
    await expect(embed(backend, ['one'], 200)).rejects.toMatchObject({ ...slow, details: {} });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    api.act = () => silence;
    const waiting = embed(backend, ['two'], 200);
    await expect(waiting).rejects.toMatchObject({ ...slow, details: { isAway: true } });
    expect(told).toEqual([true, false]);
  });

  it('is closed at once, with a request under way and while it is waited for', async () => {
    const { backend } = await openReady();
    api.act = () => () => undefined;
    const running = expect(embed(backend, ['one'], 60_000)).rejects.toMatchObject({ code: 'shutting_down' });
    await eventually('it has been asked', () => api.batches.length === 1);
    await backend.close();
    await running;
    const waiting = open({ address: 'http://127.0.0.1:9' }).backend;
    const ready = expect(waiting.whenReady()).rejects.toMatchObject({ code: 'shutting_down' });
    await waiting.close();
    await ready;
  });
});

describe('batches before an API', () => {
  const make = async () => {
    const { backend } = await openReady();
    return { backend, batcher: new Batcher({ backend, fit: new LiveFit({ a: 1, b: 0.01 }) }) };
  };
  const submit = (batcher: Batcher, lane: 'query' | 'bulk', texts: string[]) =>
    batcher.submit(
      texts.map(() => new Uint32Array(3)),
      { lane, texts },
    );

  it('lose nobody but the text that the API refuses', async () => {
    const { batcher } = await make();
    api.act = ({ body }) => (body.input?.includes('poison') ? json(413, { error: 'too long' }) : undefined);
    const good = ['a', 'b', 'c', 'd', 'e'].map((text) => submit(batcher, 'bulk', [text]));
    const bad = expect(submit(batcher, 'bulk', ['poison'])).rejects.toMatchObject({
      code: 'embedding_failed',
    });
    const answers = await Promise.all(good);
    await bad;
    answers.forEach(({ vectors }, at) =>
      expectVectorsOf(['a', 'b', 'c', 'd', 'e'].slice(at, at + 1), vectors),
    );
  });

  it('go on where they were once the API is back; queries are sent back at once', async () => {
    const { backend, batcher } = await make();
    api.act = () => json(503, {}, { 'retry-after': '1' });
    const bulk = submit(batcher, 'bulk', ['a', 'b', 'c']);
    await eventually('the API is away', () => !backend.isReady);
    const startedAt = performance.now();
    await expect(submit(batcher, 'query', ['q'])).rejects.toMatchObject({ code: 'embedding_failed' });
    expect(performance.now() - startedAt).toBeLessThan(200);
    api.act = undefined;
    expectVectorsOf(['a', 'b', 'c'], (await bulk).vectors);
    expect((await submit(batcher, 'query', ['q'])).vectors).toHaveLength(DIMENSIONS);
  });

  it('of queries go beside one of bulk work', async () => {
    const { batcher } = await make();
    let answerBulk = (): void => undefined;
    api.act = ({ body }) =>
      body.input?.includes('long')
        ? (response) => (answerBulk = () => embeddings([vectorOf('long')])(response, undefined as never))
        : undefined;
    const bulk = submit(batcher, 'bulk', ['long']);
    await eventually('it is under way', () => api.batches.length === 1);
    await submit(batcher, 'query', ['short']);
    answerBulk();
    expectVectorsOf(['long'], (await bulk).vectors);
  });
});
