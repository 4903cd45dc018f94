import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildCheckout, type BuildVariant } from '../src/build-checkout.ts';
import { readCheckout } from '../src/checkout.ts';
import { findModel, verifyModel } from '../src/installed-model.ts';
import { keysAndValues } from '../src/qwen2-graph.ts';
import { SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint, type CheckpointOptions } from '@embergate/testing/random-checkpoint.ts';

interface Golden {
  ids: number[];
  vector: number[];
}
/** Computed by Hugging Face's transformers: reference/qwen2_reference.py. */
const goldens = JSON.parse(
  await readFile(join(import.meta.dirname, 'reference', 'qwen2-goldens.json'), 'utf8'),
) as Record<'f32' | 'bf16', Golden[]>;
const { layers, kvHeads, heads, hidden } = SMALL_QWEN2;

let root: Awaited<ReturnType<typeof temporaryFolder>>;
let folders = 0;
const newFolder = () => join(root.path, String(folders++));
beforeAll(async () => {
  root = await temporaryFolder('qwen2');
});
afterAll(() => root.remove());

async function checkout(options: Partial<CheckpointOptions> = {}): Promise<string> {
  const folder = newFolder();
  await writeRandomCheckpoint(folder, { shape: SMALL_QWEN2, type: 'F32', ...options });
  // No test here tokenises.
  await writeFile(join(folder, 'tokenizer.json'), '{}');
  return folder;
}

const build = async (folder: string, variant: BuildVariant, out = newFolder()) =>
  buildCheckout(await readCheckout(folder), { variant, out });

type Feeds = Record<string, Tensor>;
class Session {
  readonly #session: InferenceSession;
  constructor(session: InferenceSession) {
    this.#session = session;
  }

  static async of(folder: string, variant: BuildVariant): Promise<Session> {
    const { onnxPath } = await build(folder, variant);
    return new Session(
      await InferenceSession.create(onnxPath, { intraOpNumThreads: 1, logSeverityLevel: 4 }),
    );
  }

  /** One batch, padded on the right; `past` are keys and values of `pastTokens` tokens. */
  async run(texts: number[][], { past, pastTokens = 0 }: { past?: Feeds; pastTokens?: number } = {}) {
    const [batch, longest] = [texts.length, Math.max(...texts.map(({ length }) => length))];
    const ids = texts.flatMap((text) => [...text, ...new Array<number>(longest - text.length).fill(0)]);
    const nothing = () => new Tensor('float32', new Float32Array(0), [batch, kvHeads, 0, hidden / heads]);
    const outputs = await this.#session.run({
      input_ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), [batch, longest]),
      last_token: new Tensor(
        'int64',
        BigInt64Array.from(texts, (text) => BigInt(text.length - 1)),
        [batch, 1],
      ),
      seqlens_k: new Tensor(
        'int32',
        Int32Array.from(texts, (text) => pastTokens + text.length - 1),
        [batch],
      ),
      total_sequence_length: new Tensor('int32', Int32Array.of(pastTokens + longest), [1]),
      ...(past ?? Object.fromEntries(keysAndValues('past', layers).map((name) => [name, nothing()]))),
    });
    const all = outputs['embedding']?.data as Float32Array;
    const present = keysAndValues('present', layers).map((name) => outputs[name] as Tensor);
    return {
      vectors: texts.map((_, row) => all.slice(row * hidden, (row + 1) * hidden)),
      past: Object.fromEntries(keysAndValues('past', layers).map((name, at) => [name, present[at]])) as Feeds,
    };
  }

  async embed(text: number[]): Promise<Float32Array> {
    return (await this.run([text])).vectors[0] ?? new Float32Array();
  }
}

const cosine = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (value, at) => Math.abs(value - (b[at] ?? 0))));

describe('a Qwen2 checkout', () => {
  it('becomes a model with the vectors of transformers', async () => {
    const session = await Session.of(await checkout(), 'fp32');
    for (const { ids, vector } of goldens.f32)
      expect(largestDifference(await session.embed(ids), vector), `${ids.length} tokens`).toBeLessThan(1e-4);
  });

  it('of bfloat16 in shards, as language models are saved, too', async () => {
    const folder = await checkout({ type: 'BF16', shards: 3, prefix: 'model.' });
    const session = await Session.of(folder, 'fp32');
    for (const { ids, vector } of goldens.bf16)
      expect(largestDifference(await session.embed(ids), vector), `${ids.length} tokens`).toBeLessThan(1e-4);
  });

  it('at fp16 and int8 stays next to float32, and int4 in its neighbourhood', async () => {
    const folder = await checkout();
    const of = (variant: BuildVariant) => Session.of(folder, variant);
    const [fp16, int8, int4] = [await of('fp16'), await of('int8'), await of('int4')];
    for (const { ids, vector } of goldens.f32) {
      expect(cosine(await fp16.embed(ids), vector), `${ids.length} tokens`).toBeGreaterThan(0.99999);
      expect(cosine(await int8.embed(ids), vector), `${ids.length} tokens`).toBeGreaterThan(0.999);
      // Random weights, which nothing has trained to bear it: this says that int4 is no nonsense, and no more.
      expect(cosine(await int4.embed(ids), vector), `${ids.length} tokens`).toBeGreaterThan(0.8);
    }
  });

  // int4 runs through the decoder, which cuts texts so that it holds there too: embedding-onnx/test/decoder.test.ts.
  it.each(['fp32', 'fp16', 'int8'] as const)(
    '%s: neither padding, nor the other texts of a batch, nor slices change a vector',
    async (variant) => {
      const session = await Session.of(await checkout(), variant);
      const texts = goldens.f32.map(({ ids }) => ids);
      const alone: Float32Array[] = [];
      for (const text of texts) alone.push(await session.embed(text));
      const { vectors } = await session.run(texts);
      const { vectors: reversed } = await session.run(texts.toReversed());
      alone.forEach((vector, row) => {
        expect(cosine(vectors[row] ?? [], vector)).toBeGreaterThan(0.99999);
        expect(cosine(reversed.at(-1 - row) ?? [], vector)).toBeGreaterThan(0.99999);
      });
      const longest = texts.at(-1) ?? [];
      const first = await session.run([longest.slice(0, 9)]);
      const second = await session.run([longest.slice(9, 200)], { past: first.past, pastTokens: 9 });
      const third = await session.run([longest.slice(200)], { past: second.past, pastTokens: 200 });
      expect(cosine(third.vectors[0] ?? [], alone.at(-1) ?? [])).toBeGreaterThan(0.99999);
    },
  );

  it('is built into a folder that can be found and verified, and its variants share a space', async () => {
    const folder = await checkout();
    const out = newFolder();
    const built = await build(folder, 'int8', out);
    await expect(findModel(out, { modelDir: root.path })).resolves.toEqual(built);
    await expect(verifyModel(built)).resolves.toBeUndefined();
    expect(built.space).toMatchObject({
      dimensions: hidden,
      pooling: 'last',
      normalize: true,
      prompts: { query: 'Represent this query for searching relevant code: ', document: '' },
    });
    const again = await build(folder, 'int4', out);
    expect([again.variant, again.space]).toEqual(['int4', built.space]);
    const other = await build(await checkout({ type: 'BF16' }), 'int4');
    expect(other.space.revision).not.toBe(built.space.revision);
  });
});

describe('a checkout that is damaged, hostile or something else', () => {
  const refuses = async (folder: string, code: string, words: RegExp) =>
    refusesAt('int4', folder, { code, words });
  const refusesAt = async (
    variant: BuildVariant,
    folder: string,
    { code, words }: { code: string; words: RegExp },
  ) => {
    const out = newFolder();
    await expect(build(folder, variant, out)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(words),
    });
    expect(await readdir(root.path)).not.toContain(basename(out));
    expect((await readdir(root.path)).filter((name) => name.startsWith('.'))).toEqual([]);
  };
  const edit = async (folder: string, name: string, change: (json: Record<string, unknown>) => void) => {
    const path = join(folder, name);
    const json = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    change(json);
    await writeFile(path, JSON.stringify(json));
  };

  it('is refused by name, and nothing is left behind', async () => {
    const empty = newFolder();
    await mkdir(empty);
    await refuses(empty, 'model_not_found', /no config\.json/);

    const roberta = await checkout();
    await edit(roberta, 'config.json', (config) => (config['model_type'] = 'roberta'));
    await refuses(roberta, 'model_damaged', /only qwen2, bert and nomic_bert are built/);

    const scaled = await checkout();
    await edit(scaled, 'config.json', (config) => (config['rope_scaling'] = { type: 'yarn', factor: 4 }));
    await refuses(scaled, 'model_damaged', /rope_scaling/);

    const newer = await checkout();
    await edit(newer, 'config.json', (config) => {
      config['rope_parameters'] = { rope_type: 'yarn', rope_theta: config['rope_theta'] };
      delete config['rope_theta'];
    });
    await refuses(newer, 'model_damaged', /rotary embedding without scaling/);

    const bothWays = await checkout();
    await edit(bothWays, 'config.json', (config) => (config['is_causal'] = false));
    await refuses(bothWays, 'model_damaged', /is_causal/);

    const huge = await checkout();
    await edit(huge, 'config.json', (config) => (config['max_position_embeddings'] = 2 ** 40));
    await refuses(huge, 'model_damaged', /max_position_embeddings/);

    const oddHeads = await checkout();
    await edit(oddHeads, 'config.json', (config) => (config['num_key_value_heads'] = 3));
    await refuses(oddHeads, 'model_damaged', /do not fit together/);

    const both = await checkout();
    await edit(both, '1_Pooling/config.json', (pooling) => (pooling['pooling_mode_mean_tokens'] = true));
    await refuses(both, 'model_damaged', /says mean_tokens and lasttoken/);

    const dense = await checkout();
    const modules = JSON.parse(await readFile(join(dense, 'modules.json'), 'utf8')) as object[];
    const more = [
      ...modules,
      { idx: 9, name: '9', path: '3_Dense', type: 'sentence_transformers.models.Dense' },
    ];
    await writeFile(join(dense, 'modules.json'), JSON.stringify(more));
    await refuses(dense, 'model_damaged', /module Dense/);

    const mean = await checkout();
    await edit(mean, '1_Pooling/config.json', (pooling) => {
      pooling['pooling_mode_lasttoken'] = false;
      pooling['pooling_mode_mean_tokens'] = true;
    });
    await refuses(mean, 'model_damaged', /last token alone/);

    const larger = await checkout();
    await edit(larger, 'config.json', (config) => (config['num_hidden_layers'] = layers + 1));
    await refuses(larger, 'model_damaged', /lacks the tensor layers\.3/);

    const wider = await checkout();
    await edit(wider, 'config.json', (config) => (config['intermediate_size'] = 640));
    await refuses(wider, 'model_damaged', /mlp\.gate_proj\.weight is F32 \[320, 128\]/);

    const noTokenizer = await checkout();
    await rm(join(noTokenizer, 'tokenizer.json'));
    await refuses(noTokenizer, 'model_damaged', /no tokenizer\.json/);

    const pickle = await checkout();
    await rm(join(pickle, 'model.safetensors'));
    await writeFile(join(pickle, 'pytorch_model.bin'), 'pickle');
    await refuses(pickle, 'model_not_found', /Only safetensors/);
  });

  it('cut off, or with shards from elsewhere, is refused', async () => {
    const cut = await checkout();
    await truncate(join(cut, 'model.safetensors'), 100_000);
    await refuses(cut, 'model_damaged', /its tensors need/);

    const outside = await checkout({ shards: 2 });
    const index = 'model.safetensors.index.json';
    await edit(outside, index, (json) => {
      (json['weight_map'] as Record<string, string>)['norm.weight'] = '../../etc/model.safetensors';
    });
    await refuses(outside, 'model_damaged', /weight_map/);

    const missing = await checkout({ shards: 2 });
    await rm(join(missing, 'model-00002-of-00002.safetensors'));
    await refuses(missing, 'model_not_found', /model-00002-of-00002/);
  });

  it('with a value that float16 cannot hold is refused where it would be one', async () => {
    const large = await checkout();
    const path = join(large, 'model.safetensors');
    const bytes = await readFile(path);
    // The token table is the first tensor.
    bytes.writeFloatLE(1e6, 8 + Number(bytes.readBigUInt64LE()));
    await writeFile(path, bytes);
    const words = /embed_tokens\.weight has a value that float16 cannot hold/;
    await refusesAt('fp16', large, { code: 'model_damaged', words });
    await expect(build(large, 'fp32')).resolves.toBeDefined();
  });

  it('leaves what is in the way, and an older build until the new one is complete', async () => {
    const folder = await checkout();
    const inTheWay = newFolder();
    await mkdir(inTheWay);
    await writeFile(join(inTheWay, 'thesis.txt'), 'mine');
    await expect(build(folder, 'int4', inTheWay)).rejects.toMatchObject({ code: 'usage' });
    expect(await readdir(inTheWay)).toEqual(['thesis.txt']);

    const out = newFolder();
    const before = await build(folder, 'int8', out);
    // One that was killed has left gigabytes; no process has this number.
    await mkdir(join(root.path, `.${basename(out)}.999999999.0badcafe.new`));
    const interrupted = new AbortController();
    const building = buildCheckout(await readCheckout(folder), {
      variant: 'int4',
      out,
      signal: interrupted.signal,
      onProgress: (done) => done === 2 && interrupted.abort(new Error('Ctrl-C')),
    });
    await expect(building).rejects.toThrow('Ctrl-C');
    await expect(findModel(out, { modelDir: root.path })).resolves.toEqual(before);
    expect((await readdir(root.path)).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});
