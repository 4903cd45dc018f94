import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { type BuildVariant } from '../src/build-checkout.ts';
import { findModel, verifyModel } from '../src/installed-model.ts';
import { keysAndValues } from '../src/qwen2-graph.ts';
import { SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { root, newFolder, checkout, build, useCheckouts } from './qwen2-checkouts.ts';

interface Golden {
  ids: number[];
  vector: number[];
}
/** Computed by Hugging Face's transformers: reference/qwen2_reference.py. */
const goldens = JSON.parse(
  await readFile(join(import.meta.dirname, 'reference', 'qwen2-goldens.json'), 'utf8'),
) as Record<'f32' | 'bf16', Golden[]>;
const { layers, kvHeads, heads, hidden } = SMALL_QWEN2;

useCheckouts();

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
