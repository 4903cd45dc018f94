import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { GraphBuilder } from '@embergate/models/graph-builder.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { encodeOnnxModel, FLOAT, INT64 } from '@embergate/models/onnx-writer.ts';
import { TOKEN_NODES } from '@embergate/models/qwen2-graph.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { SMALL_BERT, SMALL_NOMIC } from '@embergate/testing/random-architectures.ts';
import { softwareGpu, whyNoSoftwareGpu, type SoftwareGpu } from '@embergate/testing/software-gpu.ts';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { OnnxBackend } from '../src/onnx-backend.ts';
import { cosine, SmallModels, text } from './small-models.ts';

const DOUBLE = 11;

const withoutGpu = whyNoSoftwareGpu === undefined ? '' : ` (skipped: ${whyNoSoftwareGpu})`;

/** The real WebGPU of onnxruntime, on a GPU that is a program. */
describe.skipIf(whyNoSoftwareGpu !== undefined)(`the model on a GPU${withoutGpu}`, () => {
  let gpu: SoftwareGpu;
  let models: SmallModels;
  const create = (options: Parameters<SmallModels['run']>[0]) => models.run(options);
  const bothOf = async (options: Parameters<typeof create>[0]) =>
    [await create({ ...options, device: 'webgpu' }), await create(options)] as const;

  beforeAll(async () => {
    gpu = await softwareGpu();
    models = await SmallModels.open('webgpu');
    for (const [name, value] of Object.entries(gpu.env)) vi.stubEnv(name, value);
  });
  afterEach(() => models.closeBackends());
  afterAll(async () => {
    vi.unstubAllEnvs();
    await models.remove();
    await gpu.remove();
  });

  const build = async (...wanted: Parameters<SmallModels['build']>) =>
    (await models.build(...wanted)).onnxPath;

  it('the default model has the vectors that it has on the CPU, alone and in a batch', async () => {
    const { onnxPath } = await findModel(DEFAULT_MODEL, { modelDir: inject('modelDir') });
    const [onGpu, onCpu] = await bothOf({ onnxPath, dimensions: 384 });
    expect([onGpu.device, onCpu.device]).toEqual(['webgpu', 'cpu']);
    expect(onGpu.proof).toMatch(/^\d+ nodes with matrix work ran on webgpu, .*; its adapter is software/);
    for (const batch of [[text(7)], [text(3, 2), text(24, 3)]]) {
      const [{ vectors: a }, { vectors: b }] = [await onGpu.embed(batch), await onCpu.embed(batch)];
      batch.forEach((_, row) => {
        const of = (all: Float32Array) => all.subarray(row * 384, (row + 1) * 384);
        expect(cosine(of(a), of(b))).toBeGreaterThan(0.99999);
      });
    }
  });

  // An int4 or int8 build rounds what flows through it to 8 bits on the CPU, and on a GPU it does not.
  it.each([
    ['fp32', 0.99999],
    ['int8', 0.999],
    ['int4', 0.999],
  ] as const)(
    'a model that reads from left to right has its vectors, prompt and parts included: %s',
    async (variant, least) => {
      const onnxPath = await build(variant);
      const prefixes = [text(8)];
      const [onGpu, onCpu] = await bothOf({
        onnxPath,
        prefixes,
        isDecoder: true,
        nodesOnCpu: [...TOKEN_NODES],
      });
      // SwiftShader is a device on which onnxruntime's attention over 32 tokens or more is wrong.
      expect(onGpu.proof).toMatch(
        /^18 nodes with matrix work ran on webgpu.*; texts go in parts of 30 tokens/,
      );
      const query = Uint32Array.from([...text(8), ...text(9, 7)]);
      for (const [ids, lane] of [
        [text(5, 3), 'query'],
        [query, 'query'],
        [text(21, 5), 'bulk'],
        [text(71, 4), 'query'],
        [text(66, 6), 'bulk'],
      ] as const) {
        const [a, b] = [await onGpu.embed([ids], { lane }), await onCpu.embed([ids], { lane })];
        expect(cosine(a.vectors, b.vectors)).toBeGreaterThan(least);
      }
    },
  );

  it.each([SMALL_BERT, SMALL_NOMIC])('an encoder has its vectors, padded and not: $kind', async (shape) => {
    for (const [variant, least] of [
      ['fp32', 0.99999],
      ['int8', 0.999],
    ] as const) {
      const [onGpu, onCpu] = await bothOf({ onnxPath: await build(variant, shape) });
      const batch = [text(40, 3), text(3), text(17, 5)];
      const [{ vectors: a }, { vectors: b }] = [await onGpu.embed(batch), await onCpu.embed(batch)];
      batch.forEach((_, row) => {
        const of = (all: Float32Array) => all.subarray(row * shape.hidden, (row + 1) * shape.hidden);
        expect(cosine(of(a), of(b)), variant).toBeGreaterThan(least);
      });
    }
  });

  it('a model with matrix work that the GPU does not know is refused, with the names of its nodes', async () => {
    const onnxPath = join(models.path, 'doubles.onnx');
    await writeFile(onnxPath, modelOfDoubles());
    await expect(create({ onnxPath, device: 'webgpu' })).rejects.toMatchObject({
      code: 'device_unavailable',
      message: 'webgpu does not compute this model: MatMul ran elsewhere.',
    });
    expect((await (await create({ onnxPath })).embed([text(3)])).vectors).toHaveLength(2);
  });

  it('software that passes for a GPU is refused, unless it will do', async () => {
    const { onnxPath } = await findModel(DEFAULT_MODEL, { modelDir: inject('modelDir') });
    await expect(create({ onnxPath, device: 'webgpu', mayBeSoftware: false })).rejects.toMatchObject({
      code: 'device_unavailable',
      message: expect.stringContaining('its adapter is software') as string,
    });
  });

  it('a file that is no model is said to be damaged, and not the GPU’s fault', async () => {
    const onnxPath = join(models.path, 'broken.onnx');
    await writeFile(onnxPath, 'this is no model');
    await expect(create({ onnxPath, device: 'webgpu' })).rejects.toMatchObject({ code: 'model_damaged' });
  });
});

describe('a GPU that is not there', () => {
  it.each(['cuda', 'webgpu'] as const)('%s: device_unavailable, and why', async (device) => {
    vi.stubEnv('VK_ICD_FILENAMES', '/nowhere.json');
    const { onnxPath, padTokenId } = await findModel(DEFAULT_MODEL, { modelDir: inject('modelDir') });
    const log = createLogger('test', 'silent');
    await expect(
      OnnxBackend.create({ onnxPath, padTokenId, dimensions: 384, log, device }),
    ).rejects.toMatchObject({
      code: 'device_unavailable',
      message: expect.stringMatching(
        new RegExp(`cannot open the model on ${device}: .*(library|adapter)`, 's'),
      ) as string,
    });
    vi.unstubAllEnvs();
  });
});

/** Multiplies in float64, which no GPU provider does. */
function modelOfDoubles(): Buffer {
  const graph = new GraphBuilder();
  graph.weights.push({ name: 'weight', dims: [1, 2], values: Float32Array.of(0.5, 0.25) });
  const ids = graph.add('Cast', ['input_ids'], { to: { int: DOUBLE } });
  const column = graph.add('Unsqueeze', [ids, graph.integers('axis', [2])]);
  const product = graph.add('MatMul', [column, graph.add('Cast', ['weight'], { to: { int: DOUBLE } })]);
  const single = graph.add('Cast', [product], { to: { int: FLOAT } });
  graph.addNamed('ReduceMax', {
    inputs: [single],
    outputs: ['embedding'],
    attributes: { axes: { ints: [1] }, keepdims: { int: 0 } },
  });
  const dims = ['batch', 'sequence'];
  return encodeOnnxModel({
    name: 'doubles',
    inputs: ['input_ids', 'attention_mask'].map((name) => ({ name, elementType: INT64, dims })),
    outputs: [{ name: 'embedding', elementType: FLOAT, dims: ['batch', 2] }],
    nodes: graph.nodes,
    weights: graph.weights,
  });
}
