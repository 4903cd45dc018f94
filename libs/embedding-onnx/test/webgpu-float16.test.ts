import { onnxPathOn } from '@embergate/models/installed-model.ts';
import { TOKEN_NODES } from '@embergate/models/qwen2-graph.ts';
import { SMALL_BERT, SMALL_NOMIC } from '@embergate/testing/random-architectures.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { OnnxBackend } from '../src/onnx-backend.ts';
import { cosine, SmallModels, text } from './small-models.ts';

/** A Vulkan driver that knows float16: of a GPU, or a program such as Mesa's llvmpipe 25. CONTRIBUTING.md says how. */
const driver = process.env['EMBERGATE_TEST_VULKAN_ICD'];
const without =
  driver === undefined
    ? ' (skipped: SwiftShader knows no float16; EMBERGATE_TEST_VULKAN_ICD names a driver)'
    : '';

describe.skipIf(driver === undefined)(`float16 on a GPU${without}`, () => {
  let models: SmallModels;
  const create = (options: Parameters<SmallModels['run']>[0]) => models.run(options);
  const build = (...wanted: Parameters<SmallModels['build']>) => models.build(...wanted);

  beforeAll(async () => {
    models = await SmallModels.open('webgpu-float16');
    vi.stubEnv('VK_ICD_FILENAMES', driver);
  });
  afterEach(() => models.closeBackends());
  afterAll(async () => {
    vi.unstubAllEnvs();
    await models.remove();
  });

  const decoder = { isDecoder: true, prefixes: [text(8)], nodesOnCpu: [...TOKEN_NODES] };
  async function expectAgreement(onGpu: OnnxBackend, other: OnnxBackend, least: number): Promise<void> {
    for (const [ids, lane] of [
      [text(5, 3), 'query'],
      [Uint32Array.from([...text(8), ...text(9, 7)]), 'query'],
      [text(21, 5), 'bulk'],
      [text(71, 4), 'query'],
      [text(66, 6), 'bulk'],
    ] as const) {
      const [a, b] = [await onGpu.embed([ids], { lane }), await other.embed([ids], { lane })];
      expect(cosine(a.vectors, b.vectors), `${ids.length} tokens`).toBeGreaterThan(least);
    }
  }

  it('a model that reads from left to right has the vectors of its float32, prompt and parts included', async () => {
    const onGpu = await create({ ...decoder, onnxPath: (await build('fp16')).onnxPath, device: 'webgpu' });
    expect(onGpu.proof).toMatch(/^18 nodes with matrix work ran on webgpu/);
    const onCpu = await create({ ...decoder, onnxPath: (await build('fp32')).onnxPath });
    await expectAgreement(onGpu, onCpu, 0.9999);
  });

  // Beside the same graph on the same device: int4 and int8 builds round what flows through them to 8 bits.
  it.each([
    ['fp32', 0.999999],
    ['int8', 0.9999],
    ['int4', 0.9999],
  ] as const)(
    'attention alone in float16, as for CUDA, has the vectors of float32: %s',
    async (variant, least) => {
      const built = await build(variant);
      const half = await create({ ...decoder, onnxPath: onnxPathOn('cuda', built), device: 'webgpu' });
      expect(half.proof).toMatch(/^18 nodes with matrix work ran on webgpu/);
      const whole = await create({ ...decoder, onnxPath: built.onnxPath, device: 'webgpu' });
      await expectAgreement(half, whole, least);
    },
  );

  it.each([SMALL_BERT, SMALL_NOMIC])(
    'an encoder has the vectors of its float32, padded and not: $kind',
    async (shape) => {
      const onGpu = await create({ onnxPath: (await build('fp16', shape)).onnxPath, device: 'webgpu' });
      const onCpu = await create({ onnxPath: (await build('fp32', shape)).onnxPath });
      const batch = [text(40, 3), text(3), text(17, 5)];
      const [{ vectors: a }, { vectors: b }] = [await onGpu.embed(batch), await onCpu.embed(batch)];
      batch.forEach((_, row) => {
        const of = (all: Float32Array) => all.subarray(row * shape.hidden, (row + 1) * shape.hidden);
        expect(cosine(of(a), of(b))).toBeGreaterThan(0.9999);
      });
    },
  );
});
