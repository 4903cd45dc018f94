import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SMALL_BERT, SMALL_NOMIC, type EncoderShape } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint, type CheckpointOptions } from '@embergate/testing/random-checkpoint.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BUILD_VARIANTS, buildCheckout, type BuildVariant } from '../src/build-checkout.ts';
import { readCheckout } from '../src/checkout.ts';

interface Golden {
  ids: number[];
  /** Of the mean vector before it is normalised. */
  length: number;
  mean: number[];
  cls: number[];
}
/** Computed by Hugging Face's transformers: reference/encoder_reference.py. */
const goldens = JSON.parse(
  await readFile(join(import.meta.dirname, 'reference', 'encoder-goldens.json'), 'utf8'),
) as Record<EncoderShape['kind'], Golden[]>;

let root: Awaited<ReturnType<typeof temporaryFolder>>;
let folders = 0;
const newFolder = () => join(root.path, String(folders++));
beforeAll(async () => {
  root = await temporaryFolder('encoder');
});
afterAll(() => root.remove());

async function checkout(shape: EncoderShape, options: Partial<CheckpointOptions> = {}): Promise<string> {
  const folder = newFolder();
  await writeRandomCheckpoint(folder, { shape, type: 'F32', ...options });
  // No test here tokenises.
  await writeFile(join(folder, 'tokenizer.json'), '{}');
  return folder;
}

async function edit(folder: string, name: string, change: (json: Record<string, unknown>) => void) {
  const path = join(folder, name);
  const json = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  change(json);
  await writeFile(path, JSON.stringify(json));
}
const editConfig = (folder: string, fields: object) =>
  edit(folder, 'config.json', (config) => Object.assign(config, fields));

const build = async (folder: string, variant: BuildVariant, out = newFolder()) =>
  buildCheckout(await readCheckout(folder), { variant, out });

class Session {
  readonly #session: InferenceSession;
  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  static async of(folder: string, variant: BuildVariant): Promise<Session> {
    const { onnxPath } = await build(folder, variant);
    return new Session(
      await InferenceSession.create(onnxPath, { intraOpNumThreads: 1, logSeverityLevel: 4 }),
    );
  }

  /** One batch, padded on the right with a token that means something, to the longest text or further. */
  async run(texts: number[][], longest = Math.max(...texts.map(({ length }) => length))) {
    const rows = (of: (text: number[], at: number) => number) =>
      new Tensor(
        'int64',
        BigInt64Array.from(
          texts.flatMap((text) => Array.from({ length: longest }, (_, at) => BigInt(of(text, at)))),
        ),
        [texts.length, longest],
      );
    const { embedding } = await this.#session.run({
      input_ids: rows((text, at) => text[at] ?? 7),
      attention_mask: rows((text, at) => (at < text.length ? 1 : 0)),
    });
    const all = embedding?.data as Float32Array;
    const width = all.length / texts.length;
    return texts.map((_, row) => all.slice(row * width, (row + 1) * width));
  }

  async embed(text: number[]): Promise<Float32Array> {
    return (await this.run([text]))[0] ?? new Float32Array();
  }
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
const cosine = (a: ArrayLike<number>, b: ArrayLike<number>) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (value, at) => Math.abs(value - (b[at] ?? 0))));

describe.each([SMALL_BERT, SMALL_NOMIC])('a $kind checkout', (shape) => {
  const known = goldens[shape.kind];

  it.each(['mean', 'cls'] as const)('pooled by %s has the vectors of transformers', async (pooling) => {
    const session = await Session.of(await checkout({ ...shape, pooling }), 'fp32');
    for (const { ids, [pooling]: vector } of known)
      expect(largestDifference(await session.embed(ids), vector), `${ids.length} tokens`).toBeLessThan(1e-4);
  });

  it.each(['mean', 'cls'] as const)('pooled by %s, without a module that normalises', async (pooling) => {
    const folder = await checkout({ ...shape, pooling, normalize: false });
    const session = await Session.of(folder, 'fp32');
    for (const { ids, length, [pooling]: vector } of known) {
      const found = await session.embed(ids);
      expect(cosine(found, vector)).toBeGreaterThan(0.999999);
      if (pooling === 'mean') expect(Math.sqrt(dot(found, found)) / length).toBeCloseTo(1, 4);
    }
    expect((await readCheckout(folder)).space).toMatchObject({ pooling, normalize: false });
  });

  it('in shards, under prefixed names and as another float type', async () => {
    const bfloat = await checkout(shape, { type: 'BF16', shards: 3, prefix: 'bert.' });
    const half = await checkout(shape, { type: 'F16' });
    const sessions = [await Session.of(bfloat, 'fp32'), await Session.of(half, 'fp32')] as const;
    for (const { ids, mean } of known) {
      expect(cosine(await sessions[0].embed(ids), mean), `${ids.length} tokens`).toBeGreaterThan(0.9999);
      expect(cosine(await sessions[1].embed(ids), mean), `${ids.length} tokens`).toBeGreaterThan(0.999999);
    }
  });

  it('at fp16 and int8 stays next to float32, and int4 in its neighbourhood', async () => {
    const folder = await checkout(shape);
    const of = (variant: BuildVariant) => Session.of(folder, variant);
    const [fp16, int8, int4] = [await of('fp16'), await of('int8'), await of('int4')];
    for (const { ids, mean } of known) {
      expect(cosine(await fp16.embed(ids), mean), `${ids.length} tokens`).toBeGreaterThan(0.99999);
      expect(cosine(await int8.embed(ids), mean), `${ids.length} tokens`).toBeGreaterThan(0.999);
      // Random weights, which nothing has trained to bear it: this says that int4 is no nonsense, and no more.
      expect(cosine(await int4.embed(ids), mean), `${ids.length} tokens`).toBeGreaterThan(0.9);
    }
  });

  describe.each(BUILD_VARIANTS)('at %s', (variant) => {
    it.each(['mean', 'cls'] as const)(
      'pooled by %s: neither padding nor the other texts of a batch change a vector',
      async (pooling) => {
        const session = await Session.of(await checkout({ ...shape, pooling }), variant);
        const texts = known.map(({ ids }) => ids);
        const alone: Float32Array[] = [];
        for (const text of texts) alone.push(await session.embed(text));
        const batches = [
          await session.run(texts),
          (await session.run(texts.toReversed())).toReversed(),
          await session.run(texts, 633),
          [...(await session.run(texts.slice(0, 3))), ...(await session.run(texts.slice(3)))],
        ];
        for (const batch of batches)
          batch.forEach((vector, row) =>
            expect(cosine(vector, alone[row] ?? []), `${texts[row]?.length} tokens`).toBeGreaterThan(0.99999),
          );
      },
    );
  });

  it('says what it is: space, longest text, padding', async () => {
    const folder = await checkout({ ...shape, pooling: 'cls' });
    await writeFile(join(folder, 'sentence_bert_config.json'), JSON.stringify({ max_seq_length: 300 }));
    await editConfig(folder, { pad_token_id: 3 });
    await expect(readCheckout(folder)).resolves.toMatchObject({
      maxTokens: 300,
      padTokenId: 3,
      space: {
        model: basename(folder),
        dimensions: shape.hidden,
        pooling: 'cls',
        normalize: true,
        prompts: { query: 'Represent this query for searching relevant code: ', document: '' },
      },
    });
    const built = await build(folder, 'fp32');
    expect(built.maxTokens).toBe(300);
    // Also where the longest text is shorter than the table of positions.
    const { ids = [], cls = [] } = known.findLast(({ ids }) => ids.length <= 300) ?? {};
    const session = await Session.of(folder, 'fp32');
    expect(largestDifference(await session.embed(ids), cls)).toBeLessThan(1e-4);
  });

  it('is read with the newer file of poolings, too', async () => {
    const folder = await checkout(shape);
    await writeFile(join(folder, '1_Pooling', 'config.json'), JSON.stringify({ pooling_mode: 'cls' }));
    expect((await readCheckout(folder)).space.pooling).toBe('cls');
  });
});

describe('a nomic_bert checkout', () => {
  it('under the names of transformers is the same model', async () => {
    const folder = await checkout(SMALL_NOMIC);
    const { hidden, inner, layers, heads, vocabulary, positions } = SMALL_NOMIC;
    const config = {
      model_type: 'nomic_bert',
      hidden_size: hidden,
      intermediate_size: inner,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      vocab_size: vocabulary,
      max_position_embeddings: positions,
      layer_norm_eps: 1e-12,
      hidden_act: 'silu',
      rope_parameters: { rope_type: 'default', rope_theta: 1000 },
    };
    const before = await readCheckout(folder);
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    await expect(readCheckout(folder)).resolves.toEqual(before);
  });

  it('reads as far as its rotary embedding is not scaled', async () => {
    const folder = await checkout({ ...SMALL_NOMIC, positions: 8192 });
    expect((await readCheckout(folder)).maxTokens).toBe(8192);
    await editConfig(folder, { rotary_scaling_factor: 2 });
    expect((await readCheckout(folder)).maxTokens).toBe(2048);
  });

  it('has a table of tokens that is filled up', async () => {
    const folder = await checkout(SMALL_NOMIC);
    await editConfig(folder, { vocab_size: 500 });
    await expect(build(folder, 'int8')).resolves.toBeDefined();
  });
});

describe('an encoder that is damaged, hostile or something else', () => {
  const refuses = async (folder: string, words: RegExp) => {
    const out = newFolder();
    await expect(build(folder, 'int8', out)).rejects.toMatchObject({
      code: 'model_damaged',
      message: expect.stringMatching(words),
    });
    const left = await readdir(root.path);
    expect(left).not.toContain(basename(out));
    expect(left.filter((name) => name.startsWith('.'))).toEqual([]);
  };

  it.each([
    [SMALL_BERT, { hidden_act: 'gelu_new' }, /hidden_act/],
    [SMALL_BERT, { position_embedding_type: 'relative_key' }, /position_embedding_type/],
    [SMALL_BERT, { is_decoder: true }, /is_decoder/],
    [SMALL_BERT, { layer_norm_eps: undefined }, /layer_norm_eps/],
    [SMALL_BERT, { num_attention_heads: 3 }, /do not fit together/],
    [SMALL_BERT, { num_hidden_layers: 1e9 }, /num_hidden_layers/],
    [SMALL_BERT, { vocab_size: 2 ** 40 }, /vocab_size/],
    [SMALL_BERT, { num_hidden_layers: 4 }, /lacks the tensor encoder\.layer\.3/],
    [SMALL_BERT, { num_hidden_layers: 2 }, /has the tensor encoder\.layer\.2/],
    [SMALL_BERT, { intermediate_size: 640 }, /intermediate\.dense\.weight is F32 \[320, 128\]/],
    [SMALL_BERT, { max_position_embeddings: 512 }, /position_embeddings\.weight is F32 \[640, 128\]/],
    [SMALL_NOMIC, { activation_function: 'geglu' }, /activation_function/],
    [SMALL_NOMIC, { prenorm: true }, /prenorm/],
    [SMALL_NOMIC, { qkv_proj_bias: true }, /qkv_proj_bias/],
    [SMALL_NOMIC, { rotary_emb_fraction: 0.5 }, /rotary_emb_fraction/],
    [SMALL_NOMIC, { rotary_emb_interleaved: true }, /rotary_emb_interleaved/],
    [SMALL_NOMIC, { rotary_emb_scale_base: 512 }, /rotary_emb_scale_base/],
    [SMALL_NOMIC, { rope_parameters: { rope_type: 'yarn' } }, /rotary embedding without scaling/],
    [SMALL_NOMIC, { moe_every_n_layers: 2 }, /moe_every_n_layers/],
    [SMALL_NOMIC, { causal: true }, /causal/],
    [SMALL_NOMIC, { n_embd: undefined }, /no n_embd/],
    [SMALL_NOMIC, { n_positions: 2 ** 40 }, /n_positions/],
    [SMALL_NOMIC, { n_head: 128 }, /do not fit together/],
    [SMALL_NOMIC, { n_embd: 65_536, n_head: 1, n_positions: 2 ** 20 }, /heads have 65536 numbers/],
    [SMALL_NOMIC, { n_embd: 64 }, /word_embeddings\.weight is F32 \[512, 128\]/],
    [SMALL_NOMIC, { n_layer: 4 }, /lacks the tensor encoder\.layers\.3/],
  ] as const)(
    '$0.kind with $1 is refused by name, and nothing is left behind',
    async (shape, fields, words) => {
      const folder = await checkout(shape);
      await editConfig(folder, fields);
      await refuses(folder, words);
    },
  );

  it.each([NaN, -Infinity])('is refused where a weight is %s', async (value) => {
    const folder = await checkout(SMALL_BERT);
    const path = join(folder, 'model.safetensors');
    const content = await readFile(path);
    content.writeFloatLE(value, content.length - 4);
    await writeFile(path, content);
    await refuses(folder, /encoder\.layer\.2\.output\.dense has a value that is not finite/);
  });

  it('is refused where its poolings are none that are built', async () => {
    const pooling = join('1_Pooling', 'config.json');
    const both = await checkout(SMALL_BERT);
    await edit(both, pooling, (modes) => (modes['pooling_mode_cls_token'] = true));
    await refuses(both, /says cls_token and mean_tokens/);
    const max = await checkout(SMALL_BERT);
    await writeFile(join(max, pooling), JSON.stringify({ pooling_mode_max_tokens: true }));
    await refuses(max, /says max_tokens/);
    const last = await checkout(SMALL_NOMIC);
    await writeFile(join(last, pooling), JSON.stringify({ pooling_mode_lasttoken: true }));
    await refuses(last, /says the last/);
    const withoutPrompt = await checkout(SMALL_NOMIC);
    await edit(withoutPrompt, pooling, (modes) => (modes['include_prompt'] = false));
    await refuses(withoutPrompt, /prompts are pooled/);
    const none = await checkout(SMALL_BERT);
    await rm(join(none, 'modules.json'));
    await refuses(none, /says no pooling/);
  });
});
