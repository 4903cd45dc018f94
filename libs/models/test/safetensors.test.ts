import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import fc from 'fast-check';
import { bertGraph } from '../src/bert-graph.ts';
import { readSafetensors } from '../src/safetensors.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'embergate-safetensors-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function writeTensors(header: object | string, dataBytes: number, claimed?: bigint): Promise<string> {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(text.length));
  const path = join(folder, 'model.safetensors');
  await writeFile(path, Buffer.concat([length, text, Buffer.alloc(dataBytes)]));
  return path;
}

const tensor = (begin: number, end: number, shape = [(end - begin) / 4], dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const damaged = (message: RegExp) =>
  expect.objectContaining({ code: 'model_damaged', message: expect.stringMatching(message) });

test('a sound file gives each tensor its place', async () => {
  const header = { __metadata__: { format: 'pt' }, b: tensor(8, 24, [2, 2]), a: tensor(0, 8, [2, 1]) };
  const path = await writeTensors(header, 24);
  const start = 8 + JSON.stringify(header).length;
  expect(Object.fromEntries(await readSafetensors(path))).toEqual({
    a: { type: 'F32', shape: [2, 1], offset: start, bytes: 8 },
    b: { type: 'F32', shape: [2, 2], offset: start + 8, bytes: 16 },
  });
});

test.each([
  [
    'a file cut off in the middle of its data',
    { a: tensor(0, 8), b: tensor(8, 24) },
    20,
    /need \d+ bytes, the file has/,
  ],
  ['data after the last tensor', { a: tensor(0, 8) }, 12, /need \d+ bytes, the file has/],
  ['two tensors that overlap', { a: tensor(0, 8), b: tensor(4, 16) }, 16, /tensor b overlaps another/],
  ['the same bytes given twice', { a: tensor(0, 8), b: tensor(0, 8) }, 8, /overlaps another/],
  ['a gap between tensors', { a: tensor(0, 8), b: tensor(12, 16) }, 16, /gap before tensor b/],
  [
    'an offset before the data',
    { a: { dtype: 'F32', shape: [4], data_offsets: [-8, 8] } },
    16,
    /tensor a: data_offsets/,
  ],
  ['an end before its beginning', { a: { dtype: 'F32', shape: [2], data_offsets: [8, 0] } }, 8, /tensor a/],
  [
    'a shape larger than its bytes',
    { a: tensor(0, 8, [3]) },
    8,
    /F32 \[3\] takes 12 bytes, its offsets give it 8/,
  ],
  ['a shape beyond all numbers', { a: tensor(0, 8, [2 ** 40, 2 ** 40]) }, 8, /tensor a/],
  ['an element type that does not exist', { a: tensor(0, 8, [2], 'F33') }, 8, /tensor a: dtype/],
  ['an entry that is no tensor', { a: 1 }, 0, /tensor a/],
])('%s is refused and said', async (_what, header, dataBytes, message) => {
  const path = await writeTensors(header, dataBytes);
  await expect(readSafetensors(path)).rejects.toEqual(damaged(message));
});

test.each([
  ['a header longer than the file', '{}', 2n ** 63n, /header claims/],
  ['a header of no JSON', '{"a":', undefined, /header is not JSON/],
  ['a header that is a list of nothing', 'null', undefined, /not a JSON object/],
])('%s is refused and said', async (_what, header, claimed, message) => {
  const path = await writeTensors(header, 0, claimed);
  await expect(readSafetensors(path)).rejects.toEqual(damaged(message));
});

test('an empty file is refused and said', async () => {
  const path = join(folder, 'empty.safetensors');
  await writeFile(path, '');
  await expect(readSafetensors(path)).rejects.toEqual(damaged(/only 0 bytes/));
});

test('no bytes whatever make the reader do anything but read or refuse', async () => {
  const path = join(folder, 'noise.safetensors');
  const names = fc.constantFrom('a', 'b', '__proto__', '__metadata__');
  const entries = fc.dictionary(
    names,
    fc.oneof(
      fc.jsonValue(),
      fc.record({
        dtype: fc.constantFrom('F32', 'F16', 'I64'),
        shape: fc.array(fc.integer({ min: -1, max: 9 }), { maxLength: 3 }),
        data_offsets: fc.tuple(fc.integer({ min: -1, max: 64 }), fc.integer({ min: -1, max: 64 })),
      }),
    ),
  );
  await fc.assert(
    fc.asyncProperty(entries, fc.nat(64), async (header, dataBytes) => {
      const text = Buffer.from(JSON.stringify(header));
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(text.length));
      await writeFile(path, Buffer.concat([length, text, Buffer.alloc(dataBytes)]));
      const found = await readSafetensors(path).catch((error: unknown) => error);
      if (!(found instanceof Map)) {
        expect(found).toEqual(damaged(/noise/));
        return;
      }
      for (const place of found.values())
        expect(place.offset + place.bytes).toBeLessThanOrEqual(8 + text.length + dataBytes);
    }),
    { numRuns: 200 },
  );
});

const SHAPE = {
  layers: 1,
  heads: 2,
  hidden: 4,
  inner: 8,
  vocabulary: 10,
  positions: 6,
  layerNormEpsilon: 1e-12,
};

test('a model without one of its tensors is refused by the name of the tensor', async () => {
  await expect(bertGraph(SHAPE, { file: 'model.safetensors', tensors: new Map() })).rejects.toThrow(
    damaged(/lacks the tensor embeddings\.word_embeddings\.weight/),
  );
});

test('a model whose tensor has another shape or precision is refused', async () => {
  const name = 'embeddings.word_embeddings.weight';
  const withTensor = (shape: number[], type: 'F32' | 'F16') =>
    bertGraph(SHAPE, { file: 'm', tensors: new Map([[name, { type, shape, offset: 0, bytes: 0 }]]) });
  await expect(withTensor([9, 4], 'F32')).rejects.toThrow(
    damaged(/word_embeddings\.weight is F32 \[9, 4\], F32 \[10, 4\]/),
  );
  await expect(withTensor([10, 4], 'F16')).rejects.toThrow(damaged(/is F16 \[10, 4\]/));
});
