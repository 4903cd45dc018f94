import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readSafetensors } from '../src/safetensors.ts';
import {
  SMALL_BERT,
  SMALL_CROSS_ENCODER,
  SMALL_NOMIC,
  SMALL_QWEN2,
} from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';

let parent: string;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'embergate-checkpoint-'));
});
afterAll(() => rm(parent, { recursive: true }));

/** Each tensor's type, shape and bytes, by name. */
async function tensorsIn(path: string) {
  const data = await readFile(path);
  const places = [...(await readSafetensors(path))];
  return Object.fromEntries(
    places.map(([name, { type, shape, offset, bytes }]) => [
      name,
      { type, shape, data: data.subarray(offset, offset + bytes) },
    ]),
  );
}

// Printed by reference/{qwen2,encoder,cross_encoder}_reference.py: the goldens beside them hold for these weights only.
test.each([
  ['Qwen2', SMALL_QWEN2, 'F32', 'b0329720a3af2319fb895d84ad9d5f844a893ab2a3ef0e1662522fecf7309f15'],
  ['Qwen2', SMALL_QWEN2, 'BF16', '6bc555abb41e210af20e0a8b14c570671e78b245152262b06aface8d20764e29'],
  ['Qwen2', SMALL_QWEN2, 'F16', '09baf4afc16e1c512098c219533e32a1e1240352c761e03d32a45c1ee45412b5'],
  ['BERT', SMALL_BERT, 'F32', 'd6a10e02691ec7dbb1f06d0e4cf3ec1b4a070c1f22fdd7d910ac056cbab9b7b3'],
  ['nomic_bert', SMALL_NOMIC, 'F32', 'e3011c0848dfb7dc8c37a7d550c48cb95577be9bbc0c4d6cdda3311606feb2de'],
  [
    'cross-encoder',
    SMALL_CROSS_ENCODER,
    'F32',
    '3b09664329fa1a3fe272d427fa954ab6fab6784fa6dc9a75d91a9f5a163d748c',
  ],
] as const)(
  'the checkpoint of %s is the one that the reference vectors were computed with',
  async (name, shape, type, sum) => {
    const folder = join(parent, `${name}.${type}`);
    await writeRandomCheckpoint(folder, { shape, type });
    const data = await readFile(join(folder, 'model.safetensors'));
    const tensorData = data.subarray(8 + Number(data.readBigUInt64LE()));
    expect(createHash('sha256').update(tensorData).digest('hex')).toBe(sum);
  },
);

test('shards add up to the tensors of one file, under prefixed names, and the index says which has which', async () => {
  const [one, three] = [join(parent, 'one'), join(parent, 'three')];
  await writeRandomCheckpoint(one, { shape: SMALL_QWEN2, type: 'BF16' });
  await writeRandomCheckpoint(three, { shape: SMALL_QWEN2, type: 'BF16', shards: 3, prefix: 'model.' });
  const whole = await tensorsIn(join(one, 'model.safetensors'));
  const index = JSON.parse(await readFile(join(three, 'model.safetensors.index.json'), 'utf8'));
  const found: [string, unknown][] = [];
  for (const shard of [1, 2, 3]) {
    const file = `model-0000${shard}-of-00003.safetensors`;
    const tensors = Object.entries(await tensorsIn(join(three, file)));
    expect(tensors.length).toBeGreaterThan(0);
    for (const [name] of tensors) expect(index.weight_map[name]).toBe(file);
    found.push(...tensors);
  }
  expect(Object.keys(index.weight_map as object)).toHaveLength(found.length);
  expect(Object.fromEntries(found)).toEqual(
    Object.fromEntries(Object.entries(whole).map(([name, tensor]) => [`model.${name}`, tensor])),
  );
  expect(index.metadata.total_size).toBe(
    Object.values(whole).reduce((total, { data }) => total + data.length, 0),
  );
});

test('a repeated block leaves the first block as it is, and outliers in their columns', async () => {
  // Of 304 columns: rows and blocks end in different places.
  const shape = { ...SMALL_QWEN2, hidden: 304, inner: 7001, layers: 1 };
  const folders = [join(parent, 'fresh'), join(parent, 'repeated')] as const;
  await writeRandomCheckpoint(folders[0], { shape, type: 'F32' });
  await writeRandomCheckpoint(folders[1], { shape, type: 'F32', repeatBlock: true });
  const name = 'layers.0.mlp.up_proj.weight';
  const [fresh, repeated] = await Promise.all(
    folders.map(async (folder) => {
      const { data } = (await tensorsIn(join(folder, 'model.safetensors')))[name]!;
      return new Float32Array(new Uint8Array(data).buffer);
    }),
  );
  const block = 1 << 20;
  expect(fresh).toHaveLength(shape.inner * shape.hidden);
  expect(repeated).toHaveLength(shape.inner * shape.hidden);
  const differences = { inFirstBlock: 0, betweenBlocks: 0, toFresh: 0 };
  const drawn = (element: number) => repeated![element]! / ((element % shape.hidden) % 61 === 7 ? 4 : 1);
  for (let at = 0; at < repeated!.length; at++) {
    const differs = repeated![at] !== fresh![at];
    if (at < block && differs) differences.inFirstBlock++;
    if (at >= block && differs) differences.toFresh++;
    if (at >= block && drawn(at) !== drawn(at - block)) differences.betweenBlocks++;
  }
  expect(differences).toEqual({ inFirstBlock: 0, betweenBlocks: 0, toFresh: expect.any(Number) });
  expect(differences.toFresh).toBeGreaterThan(block * 0.9);
});
