import { adoptionRequestSchema, type AdoptionPreview } from '@embergate/contracts/adoption.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { foreignInMemory, type MemoryCollection } from '@embergate/testing/foreign-memory.ts';
import { describe, expect, it } from 'vitest';
import { inspect, type Inspection } from '../src/adoption.ts';

const space: EmbeddingSpace = {
  ...{ model: 'fake', revision: '1', dimensions: 3, pooling: 'mean', normalize: true },
  prompts: { query: '', document: '' },
};

const vectorOf = (at: number): Float32Array => Float32Array.of(Math.cos(at), Math.sin(at), 0);
const textOf = (at: number): string => `export const handler${at} = (request: Request) => respond(${at});`;

const collection = (change: Partial<MemoryCollection> = {}): MemoryCollection => ({
  vectors: [{ name: 'code', dimensions: 3, distance: 'Cosine', datatype: 'float32' }],
  points: Array.from({ length: 20 }, (_, at) => ({
    id: at,
    payload: { content: textOf(at), meta: { file: `src/${at}.ts`, repo: at < 15 ? 'big' : 'small' } },
    vector: vectorOf(at),
  })),
  ...change,
});

/** A fake in place of the model, which makes of a text what the other program made of it. */
const sameModel = async (text: string): Promise<Float32Array> => vectorOf(Number(/\d+/.exec(text)?.[0]));

const look = (
  remote: MemoryCollection,
  { request = {}, embed = sameModel }: { request?: object; embed?: typeof sameModel } = {},
): Promise<Inspection> =>
  inspect(
    { foreign: foreignInMemory({ theirs: remote }), space, embed },
    'ours',
    adoptionRequestSchema.parse({ from: 'theirs', ...request }),
  );
const codes = ({ problems }: AdoptionPreview): string[] => problems.map(({ code }) => code);

describe('before a collection of somebody else is adopted', () => {
  it('its fields, repos and vectors are shown, and compared with the model’s own', async () => {
    const { preview, source } = await look(collection());
    expect(preview).toMatchObject({
      points: 20,
      vector: { name: 'code', dimensions: 3, distance: 'Cosine' },
      space: spaceId(space),
      fields: { text: 'content', path: 'meta.file', repo: 'meta.repo' },
      repos: [
        { name: 'big', points: 15 },
        { name: 'small', points: 5 },
      ],
      problems: [],
    });
    expect(preview.agreement?.texts).toBe(4);
    expect(preview.agreement?.mean).toBeCloseTo(1);
    expect(preview.sample[0]).toMatchObject({ repo: 'big', path: 'src/0.ts', language: 'typescript' });
    expect(source).toMatchObject({ type: 'qdrant', vector: 'code', defaultRepo: 'theirs', lexical: true });
  });

  it('another model is recognised by its vectors though their dimensions fit', async () => {
    const { preview } = await look(collection(), { embed: async () => Float32Array.of(0, 0, 1) });
    expect(codes(preview)).toEqual(['space_mismatch']);
  });

  it('nothing is said of the model where no tier answers', async () => {
    const { preview } = await look(collection(), { embed: () => Promise.reject(new Error('no tier')) });
    expect(preview).toMatchObject({ agreement: null, problems: [] });
  });

  it.each([
    ['other dimensions', { vectors: [{ ...collection().vectors[0], dimensions: 4 }] }, {}, 'space_mismatch'],
    [
      'several vectors that fit',
      { vectors: [...collection().vectors, { ...collection().vectors[0], name: 'b' }] },
      {},
      'vectors_invalid',
    ],
    ['another space, as declared', {}, { space: 'other@12345678' }, 'space_mismatch'],
    ['no points', { points: [] }, {}, 'vectors_invalid'],
    ['no text', { points: [{ id: 1, payload: { n: 1 }, vector: vectorOf(1) }] }, {}, 'vectors_invalid'],
    ['a field that is not there', {}, { fields: { path: 'nowhere' } }, 'vectors_invalid'],
    [
      'vectors that are not of length 1',
      { points: [{ id: 1, payload: { text: textOf(1) }, vector: Float32Array.of(3, 4, 0) }] },
      {},
      'vectors_invalid',
    ],
  ])('%s is a problem', async (_what, change, request, code) => {
    const { preview } = await look(collection(change as Partial<MemoryCollection>), { request });
    expect(codes(preview)).toContain(code);
  });

  it('of several vectors the one that is named is taken', async () => {
    const [vector] = collection().vectors as [MemoryCollection['vectors'][0]];
    const vectors = [vector, { ...vector, name: 'title' }];
    const { preview } = await look(collection({ vectors }), { request: { vector: 'title' } });
    expect(preview).toMatchObject({ vector: { name: 'title' }, problems: [] });
  });
});
