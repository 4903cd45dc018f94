import { Batcher } from '@embergate/embedding/batcher.ts';
import { LiveFit } from '@embergate/routing/fit.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { describe, expect, it } from 'vitest';
import { DIMENSIONS, embeddings, FakeApi, json, vectorOf, type Act } from './fake-api.ts';
import {
  KEY,
  closing,
  api,
  open,
  openReady,
  embed,
  expectVectorsOf,
  onBatches,
  useFakeApi,
} from './remote-bench.ts';

useFakeApi();

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
