import { eventually } from '@embergate/testing/eventually.ts';
import { describe, expect, it } from 'vitest';
import { DIMENSIONS, embeddings, json, vectorOf, type Act } from './fake-api.ts';
import {
  KEY,
  api,
  open,
  openReady,
  embed,
  rows,
  expectVectorsOf,
  onBatches,
  useFakeApi,
} from './remote-bench.ts';

useFakeApi();

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
