import { AppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import { searchRequestSchema, type Degradation } from '@embergate/contracts/http-search.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { CollectionStamp, VectorStore } from '@embergate/vector-store/store.ts';
import { expect, it } from 'vitest';
import type { EmbeddedQuery, QueryEmbedder } from '../src/query-vector.ts';
import { search } from '../src/search.ts';

const spaceOf = (model: string): EmbeddingSpace => ({
  model,
  revision: '1',
  dimensions: 2,
  pooling: 'mean',
  normalize: true,
  prompts: { query: '', document: '' },
});
const [FIRST, SECOND] = [spaceOf('large'), spaceOf('small')];

interface Scene {
  secondSpace?: EmbeddingSpace | null;
  served?: readonly EmbeddingSpace[];
  /** What each space's model does when it is asked. */
  fails: Record<string, AppError>;
  degradation?: Degradation;
}

/** A collection of fakes: what is asked of which model, with how much time, and which vectors are searched. */
async function ask({ secondSpace = SECOND, served = [FIRST, SECOND], fails, degradation }: Scene) {
  const asked: { model: string; deadlineMs: number }[] = [];
  const searched: string[] = [];
  const embedder: QueryEmbedder = {
    serves: (space) => served.some((one) => spaceId(one) === spaceId(space)),
    embedQuery: async (_text, { space, deadlineMs }) => {
      asked.push({ model: space.model, deadlineMs });
      const failure = fails[space.model];
      if (failure) throw failure;
      return embedded(space);
    },
  };
  const stamp: CollectionStamp = { name: 'default', space: FIRST, secondSpace, createdAt: '' };
  const store = {
    getCollection: async () => stamp,
    searchLexical: async () => [],
    searchDense: async (_name: string, _vector: Float32Array, { space }: { space?: string }) => {
      searched.push(space ?? 'first');
      return [];
    },
  } as unknown as VectorStore;
  const request = searchRequestSchema.parse({ query: 'q', deadlineMs: 1_000, degradation });
  const answer = search(
    { store, embedder, defaults: { deadlineMs: 1_000, degradation: 'allow' } },
    request,
  ).catch((error: unknown) => error as AppError);
  return { answer: await answer, asked, searched };
}

const embedded = ({ model }: EmbeddingSpace): EmbeddedQuery => ({
  vector: Float32Array.of(1, 0),
  report: {
    model,
    space: '',
    variant: '',
    tier: 'cpu',
    device: 'cpu',
    degraded: false,
    reason: null,
    cached: false,
    predictedMs: null,
    tookMs: 1,
  },
  timingsMs: { admission: 0, queue: 0, tokenize: 0, inference: 0 },
  warnings: [],
});
const failure = (code: ErrorCode): AppError =>
  new AppError(code, 'it does not answer', { details: { reason: 'gpu_down' } });

it('a query that no tier of the first space answers is answered in the second, and says why', async () => {
  const { answer, asked, searched } = await ask({ fails: { large: failure('no_tier_available') } });
  expect(answer).toMatchObject({
    embedding: { model: 'small', degraded: true, reason: 'gpu_down' },
    warnings: [{ code: 'second_space' }],
  });
  expect(searched).toHaveLength(1);
  // The first one did not get all of the time: it could have used it up in silence.
  expect(asked[0]?.deadlineMs).toBeLessThan(730);
  expect(asked[1]?.deadlineMs).toBeGreaterThan(800);
});

it('with no second space served, the first one has all of the time, and full text is what is left', async () => {
  for (const scene of [{ secondSpace: null }, { served: [FIRST] }]) {
    const { answer, asked } = await ask({ ...scene, fails: { large: failure('deadline_exceeded') } });
    expect(answer).toMatchObject({ embedding: { tier: 'none' }, warnings: [{ code: 'lexical_only' }] });
    expect(asked).toHaveLength(1);
    expect(asked[0]?.deadlineMs).toBeGreaterThan(800);
  }
});

it('whatever goes wrong in the second space, full text is left', async () => {
  const fails = { large: failure('no_tier_available'), small: failure('text_refused') };
  expect((await ask({ fails })).answer).toMatchObject({
    embedding: { tier: 'none', reason: 'gpu_down' },
    warnings: [{ code: 'lexical_only' }],
  });
});

it.each(['same_space', 'forbid'] as const)('%s never means another space', async (degradation) => {
  const { answer, asked } = await ask({ fails: { large: failure('no_tier_available') }, degradation });
  expect(answer).toMatchObject({ code: 'no_tier_available' });
  expect(asked.map(({ model }) => model)).toEqual(['large']);
});

it('what is wrong with the query itself is not tried again elsewhere', async () => {
  const { answer, asked } = await ask({ fails: { large: failure('text_refused') } });
  expect(answer).toMatchObject({ code: 'text_refused' });
  expect(asked).toHaveLength(1);
});

it('a collection that moves while its query is embedded is searched in its new space', async () => {
  const stamps: CollectionStamp[] = [FIRST, SECOND].map((space) => ({
    name: 'default',
    space,
    secondSpace: null,
    createdAt: '',
  }));
  const asked: string[] = [];
  const embedder: QueryEmbedder = {
    serves: () => true,
    embedQuery: async (_text, { space }) => {
      asked.push(space.model);
      return embedded(space);
    },
  };
  const store = {
    getCollection: async () => (stamps.length > 1 ? stamps.shift() : stamps[0]),
    searchLexical: async () => [],
    searchDense: async (_name: string, _vector: Float32Array, { spaceId: id }: { spaceId?: string }) => {
      if (id !== spaceId(SECOND)) throw new AppError('space_mismatch', 'moved');
      return [];
    },
  } as unknown as VectorStore;
  const parts = { store, embedder, defaults: { deadlineMs: 1_000, degradation: 'allow' as const } };
  const answer = await search(parts, searchRequestSchema.parse({ query: 'q' }));
  expect(answer.embedding).toMatchObject({ model: 'small', degraded: false });
  expect(asked).toEqual(['large', 'small']);
});
