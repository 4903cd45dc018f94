import { SMALL_BERT, SMALL_CROSS_ENCODER } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildCrossEncoder } from '../src/build-cross-encoder.ts';
import { isCrossEncoder, readCrossEncoder } from '../src/cross-encoder-checkout.ts';
import { findReranker } from '../src/installed-reranker.ts';
import { pullReranker } from '../src/pull-reranker.ts';

interface Golden {
  ids: number[];
  /** How many of the ids are the first text's. */
  first: number;
  logit: number;
}
/** Computed by Hugging Face's transformers: reference/cross_encoder_reference.py. */
const { scores: goldens } = JSON.parse(
  await readFile(join(import.meta.dirname, 'reference', 'cross-encoder-goldens.json'), 'utf8'),
) as { scores: Golden[] };

let root: Awaited<ReturnType<typeof temporaryFolder>>;
let checkout: string;
let folders = 0;
const newFolder = () => join(root.path, String(folders++));
beforeAll(async () => {
  root = await temporaryFolder('cross-encoder');
  checkout = await written();
});
afterAll(() => root.remove());

async function written(shape = SMALL_CROSS_ENCODER): Promise<string> {
  const folder = newFolder();
  await writeRandomCheckpoint(folder, { shape, type: 'F32' });
  await writeFile(join(folder, 'tokenizer.json'), '{}');
  return folder;
}
const build = async (variant: 'fp32' | 'int8' | 'int4', from = checkout, out = newFolder()) =>
  buildCrossEncoder(await readCrossEncoder(from), { variant, out });
const find = (folder: string) => findReranker(folder, { modelDir: root.path, catalogFile: undefined });

async function logits(onnxPath: string, batch: readonly Golden[]): Promise<number[]> {
  const session = await InferenceSession.create(onnxPath, { intraOpNumThreads: 1, logSeverityLevel: 4 });
  const longest = Math.max(...batch.map(({ ids }) => ids.length));
  const filled = (of: (golden: Golden, at: number) => number) => {
    const values = batch.flatMap((golden) =>
      Array.from({ length: longest }, (_, at) => BigInt(of(golden, at))),
    );
    return new Tensor('int64', BigInt64Array.from(values), [batch.length, longest]);
  };
  const { logits: output } = await session.run({
    input_ids: filled(({ ids }, at) => ids[at] ?? 0),
    attention_mask: filled(({ ids }, at) => Number(at < ids.length)),
    token_type_ids: filled(({ ids, first }, at) => Number(at >= first && at < ids.length)),
  });
  expect(output?.dims).toEqual([batch.length, 1]);
  return [...(output?.data as Float32Array)];
}
const furthest = (found: readonly number[]) =>
  Math.max(...goldens.map(({ logit }, at) => Math.abs(logit - (found[at] ?? NaN))));

describe('a cross-encoder built out of its checkout', () => {
  it('scores pairs as transformers does, one by one and padded in a batch', async () => {
    const { onnxPath } = await build('fp32');
    expect(furthest(await logits(onnxPath, goldens))).toBeLessThan(1e-4);
    const alone: number[] = [];
    for (const golden of goldens) alone.push(...(await logits(onnxPath, [golden])));
    expect(furthest(alone)).toBeLessThan(1e-4);
  });

  it('scores nearly so from integers', async () => {
    // Scores of random weights lie within 0.2 of each other: the order of close ones is not theirs.
    expect(furthest(await logits((await build('int8')).onnxPath, goldens))).toBeLessThan(0.02);
  });

  it('is found by its folder, with what it reads', async () => {
    const built = await build('fp32');
    expect(await find(built.folder)).toEqual(built);
    expect(built).toMatchObject({ variant: 'fp32', maxTokens: 640, padTokenId: 0 });
  });

  it('takes the place of an older build, and of nothing else', async () => {
    const { folder } = await build('fp32');
    expect(await build('int8', checkout, folder)).toMatchObject({ variant: 'int8' });
    expect(await find(folder)).toMatchObject({ variant: 'int8' });
    await expect(build('fp32', checkout, checkout)).rejects.toMatchObject({ code: 'usage' });
  });

  it('is told from a model that embeds', async () => {
    expect(await isCrossEncoder(checkout)).toBe(true);
    const embedder = await written(SMALL_BERT);
    expect(await isCrossEncoder(embedder)).toBe(false);
    await expect(readCrossEncoder(embedder)).rejects.toMatchObject({ code: 'model_damaged' });
  });

  it.each([
    ['has two outputs', { id2label: { '0': 'no', '1': 'yes' } }, 'it has 2 outputs'],
    ['does not say how many outputs it has', { id2label: undefined }, 'it has 2 outputs'],
    ['has another activation', { hidden_act: 'gelu_new' }, 'hidden_act'],
  ])('that %s is refused', async (_what, change, why) => {
    const folder = newFolder();
    await cp(checkout, folder, { recursive: true });
    const path = join(folder, 'config.json');
    const config = JSON.parse(await readFile(path, 'utf8')) as object;
    await writeFile(path, JSON.stringify({ ...config, ...change }));
    await expect(build('fp32', folder)).rejects.toMatchObject({
      code: 'model_damaged',
      message: expect.stringContaining(why),
    });
  });
});

describe('what RERANKER names', () => {
  it('may be somebody else’s ONNX model with its tokenizer, as it is published', async () => {
    const { onnxPath } = await build('fp32');
    const folder = newFolder();
    await cp(checkout, folder, { recursive: true });
    await rm(join(folder, 'model.safetensors'));
    await cp(onnxPath, join(folder, 'onnx', 'model.onnx'));
    await writeFile(
      join(folder, 'tokenizer_config.json'),
      '{"model_max_length": 1000000000000000019884624838656}',
    );
    expect(await find(folder)).toMatchObject({
      onnxPath: join(folder, 'onnx', 'model.onnx'),
      maxTokens: 512,
      variant: 'onnx',
    });
    await writeFile(join(folder, 'tokenizer_config.json'), '{"model_max_length": 256}');
    expect(await find(folder)).toMatchObject({ maxTokens: 256 });
    await rm(join(folder, 'tokenizer.json'));
    await expect(find(folder)).rejects.toMatchObject({ code: 'model_damaged' });
  });

  it.each([
    ['a checkout that is not built', () => checkout, 'model_not_found', 'npx embergate model build'],
    ['nothing that is there', () => join(root.path, 'none'), 'model_not_found', 'holds no cross-encoder'],
    [
      'one of the catalog that is not there',
      () => 'ms-marco-MiniLM-L6-v2',
      'model_not_installed',
      'model pull',
    ],
    ['a model that embeds', () => 'all-MiniLM-L6-v2', 'config_invalid', 'it is no reranker'],
    ['a language model', () => 'CodeRankLLM', 'config_invalid', 'RERANKER=chat'],
  ])('is refused where it is %s, with what to do', async (_what, name, code, message) => {
    await expect(find(name())).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it('may be one of a catalog, once it is pulled, here from a folder', async () => {
    const modelDir = newFolder();
    const catalogFile = join(root.path, 'catalog.json');
    const entry = {
      kind: 'reranker',
      name: 'acme-ranker',
      revision: '0f5c9d6ab1e2437f8890aabbccddeeff00112233',
      license: 'proprietary',
      maxTokens: 128,
      crossEncoder: { parameters: 600_000, variants: ['fp32', 'int8'] },
      sources: { folder: checkout },
    };
    await writeFile(catalogFile, JSON.stringify({ models: [entry] }));
    const options = { modelDir, catalogFile };
    await expect(findReranker(entry.name, options)).rejects.toMatchObject({ code: 'model_not_installed' });
    const pulled = await pullReranker(entry.name, options);
    expect(pulled).toMatchObject({ name: entry.name, variant: 'fp32', maxTokens: 128 });
    expect(await findReranker(entry.name, options)).toEqual(pulled);
    expect(furthest(await logits(pulled.onnxPath, goldens))).toBeLessThan(1e-4);
    // A second pull finds it, and one of a damaged build repairs it.
    await writeFile(pulled.tokenizerPath, '[]');
    await expect(findReranker(entry.name, options)).rejects.toMatchObject({ code: 'checksum_mismatch' });
    expect(await pullReranker(entry.name, options)).toEqual(pulled);
    expect(await findReranker(entry.name, options)).toEqual(pulled);
    await expect(pullReranker(entry.name, { ...options, variants: ['fp16'] })).rejects.toMatchObject({
      code: 'config_invalid',
    });
    await expect(pullReranker('CodeRankLLM', options)).rejects.toMatchObject({ code: 'config_invalid' });
  });

  it('is refused where a file is not what was built', async () => {
    const { folder } = await build('fp32');
    await writeFile(join(folder, 'tokenizer.json'), '[]');
    await expect(find(folder)).rejects.toMatchObject({ code: 'checksum_mismatch' });
    await rm(join(folder, 'tokenizer.json'));
    await expect(find(folder)).rejects.toMatchObject({ code: 'model_damaged' });
  });
});
