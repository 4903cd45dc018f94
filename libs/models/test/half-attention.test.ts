import { readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SMALL_BERT, SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint, type CheckpointOptions } from '@embergate/testing/random-checkpoint.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { InferenceSession } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildCheckout, type BuildVariant } from '../src/build-checkout.ts';
import { readCheckout } from '../src/checkout.ts';
import {
  findModel,
  MANIFEST_FILE,
  onnxPathOn,
  verifyModel,
  type InstalledModel,
} from '../src/installed-model.ts';

let root: Awaited<ReturnType<typeof temporaryFolder>>;
let folders = 0;
beforeAll(async () => {
  root = await temporaryFolder('half-attention');
});
afterAll(() => root.remove());

async function build(
  variant: BuildVariant,
  shape: CheckpointOptions['shape'] = SMALL_QWEN2,
): Promise<InstalledModel> {
  const [checkout, out] = [join(root.path, `checkout-${folders}`), join(root.path, String(folders++))];
  await writeRandomCheckpoint(checkout, { shape, type: 'F32' });
  await writeFile(join(checkout, 'tokenizer.json'), '{}');
  return buildCheckout(await readCheckout(checkout), { variant, out });
}

/** How its vectors are: embedding-onnx/test/decoder.test.ts, and on a GPU webgpu-float16.test.ts. */
describe('the graph with attention in float16', () => {
  it.each(['int4', 'int8', 'fp32'] as const)(
    'comes with an %s build of a decoder, for CUDA alone',
    async (variant) => {
      const built = await build(variant);
      const half = join(built.folder, 'model.half.onnx');
      expect(built.halfAttentionPath).toBe(half);
      const on = (device: 'cpu' | 'cuda' | 'webgpu') => onnxPathOn(device, built);
      expect([on('cuda'), on('webgpu'), on('cpu')]).toEqual([half, built.onnxPath, built.onnxPath]);
      await expect(findModel(built.folder, { modelDir: root.path })).resolves.toEqual(built);
      // The weights are those of the other graph: this one is its nodes.
      const { byteLength } = await readFile(half);
      expect(byteLength).toBeLessThan(1.5 * (await readFile(built.onnxPath)).byteLength);
    },
  );

  it('is no other one where attention is in float16 already, nor does an encoder need one', async () => {
    for (const built of [await build('fp16'), await build('int8', SMALL_BERT)]) {
      expect(built.halfAttentionPath).toBeUndefined();
      expect(onnxPathOn('cuda', built)).toBe(built.onnxPath);
    }
  });

  it('is checked like the other files of a model', async () => {
    const changed = await build('int8');
    const half = onnxPathOn('cuda', changed);
    const bytes = await readFile(half);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    await writeFile(half, bytes);
    const message = expect.stringContaining(basename(half)) as string;
    await expect(verifyModel(changed)).rejects.toMatchObject({ code: 'checksum_mismatch', message });
    const find = () => findModel(changed.folder, { modelDir: root.path });
    await writeFile(half, bytes.subarray(0, 100));
    await expect(find()).rejects.toMatchObject({ code: 'model_damaged', message });
    await rm(half);
    await expect(find()).rejects.toMatchObject({ code: 'model_damaged', message });
  });

  it('is missing in older builds, which go on with the one that they have', async () => {
    const built = await build('int4');
    const path = join(built.folder, MANIFEST_FILE);
    const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    const files = manifest['files'] as { path: string }[];
    const older = { ...manifest, files: files.filter((file) => file.path !== 'model.half.onnx') };
    delete (older as Record<string, unknown>)['halfAttentionFile'];
    await writeFile(path, JSON.stringify(older));
    await rm(join(built.folder, 'model.half.onnx'));
    const found = await findModel(built.folder, { modelDir: root.path });
    await expect(verifyModel(found)).resolves.toBeUndefined();
    expect(onnxPathOn('cuda', found)).toBe(built.onnxPath);
  });
});

// Else onnxruntime writes the present over the past where attention gets it from a cast: "Shape mismatch attempting to re-use".
it.each(['fp16', 'int8'] as const)(
  '%s: no length of the past is declared to be like another one',
  async (variant) => {
    const session = await InferenceSession.create(onnxPathOn('cuda', await build(variant)));
    const lengths = session.inputMetadata.flatMap((value) =>
      value.name.startsWith('past.') && value.isTensor ? [value.shape[2]] : [],
    );
    expect(lengths).toEqual(new Array(2 * SMALL_QWEN2.layers).fill(''));
  },
);
