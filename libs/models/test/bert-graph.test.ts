import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BUILD_VARIANTS, buildCheckout } from '../src/build-checkout.ts';
import { isDirect } from '../src/catalog-schema.ts';
import { catalogModel } from '../src/catalog.ts';
import { readCheckout } from '../src/checkout.ts';
import {
  MANIFEST_FILE,
  MANIFEST_VERSION,
  manifestSchema,
  type InstalledModel,
} from '../src/installed-model.ts';
import { pullModel } from '../src/pull.ts';
import { loadTokenizer } from '../src/tokenizer.ts';
import { MODEL, realModel, referenceFile } from './real-model.ts';

interface Golden {
  text: string;
  ids: number[];
  vector: number[];
}

let modelDir: string;
let model: InstalledModel;
let session: InferenceSession;
const sessions: InferenceSession[] = [];
let goldens: Golden[];
beforeAll(async () => {
  // Built anew: the installed graph may be older than what is tested.
  modelDir = await mkdtemp(join(tmpdir(), 'embergate-graph-'));
  model = await pullModel(MODEL, { modelDir, sourceFolder: (await realModel()).folder });
  goldens = JSON.parse(await readFile(referenceFile, 'utf8')) as Golden[];
  session = await open(model);
});
afterAll(async () => {
  for (const opened of sessions) await opened.release();
  await rm(modelDir, { recursive: true });
});

async function open({ onnxPath }: InstalledModel): Promise<InferenceSession> {
  const opened = await InferenceSession.create(onnxPath, {
    intraOpNumThreads: 2,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  sessions.push(opened);
  return opened;
}

/** One batch, padded on the right to its longest text or to `length`. */
async function embed(
  texts: ArrayLike<number>[],
  length = Math.max(...texts.map((ids) => ids.length)),
  by = session,
) {
  const ids = new BigInt64Array(texts.length * length).fill(BigInt(model.padTokenId));
  const mask = new BigInt64Array(texts.length * length);
  texts.forEach((text, row) => {
    ids.set(Array.from(text, BigInt), row * length);
    mask.fill(1n, row * length, row * length + text.length);
  });
  const dims = [texts.length, length];
  const output = await by.run({
    input_ids: new Tensor('int64', ids, dims),
    attention_mask: new Tensor('int64', mask, dims),
  });
  const { data, dims: shape } = output['embedding']!;
  expect(shape).toEqual([texts.length, model.space.dimensions]);
  const vectors = data as Float32Array;
  return texts.map((_, row) => vectors.subarray(row * 384, (row + 1) * 384));
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, x, i) => sum + x * b[i]!, 0);
const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]!)));

test('texts of all kinds get the vectors of the published model', async () => {
  const tokenizer = await loadTokenizer(model.tokenizerPath, { maxTokens: model.maxTokens });
  for (const { text, vector } of goldens) {
    const [found] = await embed([tokenizer.encode(text).ids]);
    expect(largestDifference(found!, vector), text).toBeLessThan(2e-6);
    expect(dot(found!, found!)).toBeCloseTo(1, 5);
  }
});

test('neither padding nor the other texts of a batch change a vector', async () => {
  const alone: Float32Array[] = [];
  for (const { ids } of goldens) alone.push((await embed([ids]))[0]!);
  const together = await embed(goldens.map(({ ids }) => ids));
  const padded = await embed(
    goldens.slice(0, 8).map(({ ids }) => ids),
    500,
  );
  together.forEach((vector, row) => expect(dot(vector, alone[row]!)).toBeGreaterThan(0.999999));
  padded.forEach((vector, row) => expect(dot(vector, alone[row]!)).toBeGreaterThan(0.999999));
});

/** The files of the catalog's model as its publisher lays them out. */
async function checkoutOfModel(folder: string): Promise<string> {
  const entry = catalogModel(MODEL);
  if (!isDirect(entry)) throw new Error('the default model is built out of its weights');
  const { layers, heads, hidden, inner, vocabulary, positions } = entry.architecture;
  const files = {
    'config.json': {
      model_type: 'bert',
      hidden_size: hidden,
      intermediate_size: inner,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      vocab_size: vocabulary,
      type_vocab_size: 2,
      max_position_embeddings: positions,
      layer_norm_eps: 1e-12,
      hidden_act: 'gelu',
      pad_token_id: 0,
    },
    'modules.json': ['Transformer', 'Pooling', 'Normalize'].map((name, idx) => {
      return { idx, path: idx === 0 ? '' : `${idx}_${name}`, type: `sentence_transformers.models.${name}` };
    }),
    '1_Pooling/config.json': { pooling_mode_mean_tokens: true },
    'sentence_bert_config.json': { max_seq_length: entry.maxTokens, do_lower_case: false },
  };
  await mkdir(join(folder, '1_Pooling'), { recursive: true });
  for (const [name, content] of Object.entries(files))
    await writeFile(join(folder, name), JSON.stringify(content));
  for (const { path } of entry.files) await symlink(join(model.folder, path), join(folder, path));
  return folder;
}

test('built from its checkout it is the same model, and its variants agree', async () => {
  const checkout = await readCheckout(await checkoutOfModel(join(modelDir, 'checkout')));
  expect(checkout).toMatchObject({ maxTokens: model.maxTokens, padTokenId: model.padTokenId });
  expect(checkout.space).toMatchObject({ dimensions: 384, pooling: 'mean', normalize: true });
  const floors = { fp32: 0.999999, fp16: 0.9999, int8: 0.999, int4: 0.93 };
  for (const variant of BUILD_VARIANTS) {
    const out = join(modelDir, variant);
    const built = await open(await buildCheckout(checkout, { variant, out }));
    for (const { ids, text, vector } of goldens) {
      const [found] = await embed([ids], ids.length, built);
      expect(dot(found!, vector), `${variant}: ${text}`).toBeGreaterThan(floors[variant]);
      if (variant === 'fp32') expect(largestDifference(found!, vector), text).toBeLessThan(2e-6);
    }
  }
});

test('a query finds the text that it is about', async () => {
  const tokenizer = await loadTokenizer(model.tokenizerPath, { maxTokens: model.maxTokens });
  const [query, ...texts] = await embed(
    [
      'how are failed requests tried again?',
      'def retry(call, attempts): wait longer after each failure',
      'class Matrix: rows and columns of floats',
      'render the login page as HTML',
    ].map((text) => tokenizer.encode(text).ids),
  );
  const scores = texts.map((text) => dot(query!, text));
  expect(Math.max(...scores)).toBe(scores[0]);
});

test('an id outside the vocabulary is an error of that call and harms no later one', async () => {
  await expect(embed([[101, 99_999, 102]])).rejects.toThrow(/indices/);
  const [vector] = await embed([goldens[0]!.ids]);
  expect(dot(vector!, goldens[0]!.vector)).toBeGreaterThan(0.999999);
});

test('a graph that is written differently comes with a new manifest version, or installed ones would stay', async () => {
  const manifest = manifestSchema.parse(
    JSON.parse(await readFile(join(model.folder, MANIFEST_FILE), 'utf8')),
  );
  const onnx = manifest.files.find(({ path }) => path === manifest.onnxFile);
  expect({ version: MANIFEST_VERSION, sha256: onnx?.sha256 }).toMatchInlineSnapshot(`
    {
      "sha256": "e1de4e28bf4b22cc20ac19ad4ca0b6422b1759f168f2ff759c40dd5431029ecf",
      "version": 1,
    }
  `);
});
