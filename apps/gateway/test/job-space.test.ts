import { AppError } from '@embergate/contracts/errors.ts';
import { indexJobRequestSchema, type IndexJobRequest } from '@embergate/contracts/index-job.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { CollectionStamp } from '@embergate/vector-store/store.ts';
import { expect, it } from 'vitest';
import { spacesOfJob } from '../src/job-space.ts';
import { ServedSpaces, type ServedSpace } from '../src/served-spaces.ts';

const spaceOf = (model: string): EmbeddingSpace => ({
  model,
  revision: '1',
  dimensions: 2,
  pooling: 'mean',
  normalize: true,
  prompts: { query: '', document: '' },
});
/** Of what is served only names and spaces matter here. */
const served = (model: string): ServedSpace =>
  ({ id: spaceId(spaceOf(model)), model: { name: model } }) as ServedSpace;
const spaces = new ServedSpaces([served('large'), served('small')]);
const [LARGE, SMALL] = [spaceId(spaceOf('large')), spaceId(spaceOf('small'))];

const of = (request: object, collections: Record<string, EmbeddingSpace> = {}): Promise<string[]> =>
  spacesOfJob(indexJobRequestSchema.parse(request) satisfies IndexJobRequest, {
    spaces,
    store: {
      getCollection: async (name) => {
        const space = collections[name];
        if (!space) throw new AppError('collection_not_found', name);
        return { name, space, secondSpace: null, createdAt: '' } satisfies CollectionStamp;
      },
    },
  });
const folder = { type: 'directory', path: '/code' };
const vectors = (space: string): object => ({ type: 'vectors', path: '/code', space });

it('a new collection lies in the first space, in that of the model that is named, or of the vectors that are brought', async () => {
  expect(await of({ source: folder })).toEqual([LARGE]);
  expect(await of({ source: folder, model: 'small' })).toEqual([SMALL]);
  expect(await of({ source: vectors(SMALL) })).toEqual([SMALL]);
});

it('a job is taken while the store is away, where there is nothing to get wrong', async () => {
  const store = { getCollection: () => Promise.reject(new AppError('store_down', 'away')) };
  const request = indexJobRequestSchema.parse({ source: folder });
  await expect(spacesOfJob(request, { spaces, store })).resolves.toEqual([LARGE]);
});

it.each([
  ['a model that the collection is not of', { source: folder, model: 'small' }],
  ['vectors that the collection is not of', { source: vectors(SMALL) }],
  ['vectors of a model that is not served', { source: vectors('other@00000000') }],
  ['vectors that are not of the model that is named', { source: vectors(SMALL), model: 'large' }],
])('%s is a mismatch', async (_what, request) => {
  await expect(of(request, { default: spaceOf('large') })).rejects.toMatchObject({ code: 'space_mismatch' });
});

it('a move names one or two models that are served, and a collection that is there', async () => {
  const move = (...models: string[]): object => ({ source: { type: 'collection', models } });
  const there = { default: spaceOf('large') };
  expect(await of(move('small'), there)).toEqual([SMALL]);
  expect(await of(move('large', 'small'), there)).toEqual([LARGE, SMALL]);
  await expect(of(move('small', 'small'), there)).rejects.toMatchObject({ code: 'invalid_request' });
  await expect(of(move('third'), there)).rejects.toMatchObject({ code: 'model_not_found' });
  await expect(of(move('small'))).rejects.toMatchObject({ code: 'collection_not_found' });
});

it('two models of one name, or of one space, are not served side by side', () => {
  const twice = (): ServedSpaces => new ServedSpaces([served('large'), served('large')]);
  expect(twice).toThrow(/large@\w+ is served already\. Name each model once\.$/);
  // EMBEDDING_MODEL=large EMBEDDING_DIMENSIONS=1 OTHER_EMBEDDING_MODELS=large
  const cut = { ...served('large'), id: 'another' };
  const cutFirst = (): ServedSpaces => new ServedSpaces([cut, served('large')]);
  expect(cutFirst).toThrow(
    /large is served already\. .*take the whole model first, and NAME#DIMENSIONS here/,
  );
});
