import { buildCheckout } from '@embergate/models/build-checkout.ts';
import { readCheckout } from '@embergate/models/checkout.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OnnxBackend, type OnnxBackendOptions } from '../src/onnx-backend.ts';

/** Larger than the small one, so that a long text takes long enough to be overtaken. */
const SHAPE = { ...SMALL_QWEN2, hidden: 512, inner: 1_408, layers: 6 };
const text = (length: number, seed = 1): Uint32Array =>
  Uint32Array.from({ length }, (_, at) => (at * 37 + seed * 11) % SHAPE.vocabulary);
const cosine = (a: Float32Array, b: Float32Array) =>
  a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);

describe.each(['int8', 'int4'] as const)('a model that reads from left to right, at %s', (variant) => {
  const PREFIX = text(8);
  const folders: { remove: () => Promise<void> }[] = [];
  const backends: OnnxBackend[] = [];
  let onnxPath: string;
  const create = async (options: Partial<OnnxBackendOptions> = {}) => {
    const common = { onnxPath, dimensions: SHAPE.hidden, padTokenId: 0, isDecoder: true, threads: 1 };
    const backend = await OnnxBackend.create({ ...common, log: createLogger('test', 'silent'), ...options });
    backends.push(backend);
    return backend;
  };

  beforeAll(async () => {
    const folder = await temporaryFolder('decoder');
    folders.push(folder);
    const checkout = join(folder.path, 'checkout');
    await writeRandomCheckpoint(checkout, { shape: SHAPE, type: 'F32' });
    await writeFile(join(checkout, 'tokenizer.json'), '{}');
    const out = join(folder.path, 'built');
    ({ onnxPath } = await buildCheckout(await readCheckout(checkout), { variant, out }));
  });
  afterAll(async () => {
    for (const backend of backends) await backend.close();
    for (const folder of folders) await folder.remove();
  });

  it('computes a prompt once, and vectors are the same as without', async () => {
    const [plain, prompted] = [await create(), await create({ prefixes: [text(4), PREFIX] })];
    const query = Uint32Array.from([...PREFIX, ...text(12, 7)]);
    const half = Uint32Array.from([...PREFIX.subarray(0, 6), ...text(12, 7)]);
    expect([plain.computedTokens([query, PREFIX]), prompted.computedTokens([query, PREFIX])]).toEqual([
      28, 16,
    ]);
    const odd = Uint32Array.from([...PREFIX, ...text(7, 3)]);
    for (const ids of [query, half, odd, PREFIX, text(3, 5)]) {
      const [a, b] = [await plain.embed([ids]), await prompted.embed([ids])];
      expect(cosine(a.vectors, b.vectors)).toBeGreaterThan(0.99999);
    }
  });

  it('computes a long text in parts, and queries go between them', async () => {
    const backend = await create();
    const long = text(1_501, 3);
    const whole = (await backend.embed([long, text(20)], { lane: 'query' })).vectors;
    // It has learnt now how long a token takes.
    const ended: string[] = [];
    const bulk = backend.embed([long, text(20)], { lane: 'bulk' }).finally(() => ended.push('bulk'));
    for (let n = 0; n < 3; n++) {
      await backend.embed([text(5, n)], { lane: 'query' });
      ended.push('query');
    }
    const { vectors } = await bulk;
    expect(ended).toEqual(['query', 'query', 'query', 'bulk']);
    for (const row of [0, 1]) {
      const of = (all: Float32Array) => all.subarray(row * SHAPE.hidden, (row + 1) * SHAPE.hidden);
      expect(cosine(of(vectors), of(whole))).toBeGreaterThan(0.99999);
    }
  });

  it('goes on with bulk work under a flood of queries', async () => {
    const backend = await create();
    let isFlooded = true;
    const flood = async (seed: number): Promise<void> => {
      while (isFlooded) await backend.embed([text(40, seed)], { lane: 'query' });
    };
    const callers = [flood(1), flood(2)];
    const { vectors } = await backend.embed([text(200, 3)], { lane: 'bulk' });
    isFlooded = false;
    await Promise.all(callers);
    expect(vectors).toHaveLength(SHAPE.hidden);
  });

  it('killed between two parts: the text fails, and the next one is answered', async () => {
    const backend = await create();
    const failing = expect(backend.embed([text(3_000)], { lane: 'bulk' })).rejects.toMatchObject({
      code: 'embedding_failed',
      details: { childEnded: true },
    });
    await backend.embed([text(5)]);
    process.kill(backend.childPid ?? process.pid, 'SIGKILL');
    await failing;
    expect((await backend.embed([text(5)])).vectors).toHaveLength(SHAPE.hidden);
  });

  it('an id outside the vocabulary fails its own batch', async () => {
    const backend = await create();
    await expect(backend.embed([Uint32Array.of(9, 999_999, 9)])).rejects.toMatchObject({
      code: 'embedding_failed',
    });
    expect((await backend.embed([text(5)])).vectors).toHaveLength(SHAPE.hidden);
  });
});

/**
 * What CUDA runs, here on the CPU, which knows float16 attention, too. int4 and int8 builds round what flows through them to 8 bits:
 * there a difference in the seventh digit becomes one of a step.
 */
describe.each([
  ['fp32', 0.999999],
  ['int8', 0.9998],
  ['int4', 0.9998],
] as const)('a model of %s with attention in float16', (variant, least) => {
  it('has the vectors of the same model with attention in float32, prompt and parts included', async () => {
    const folder = await temporaryFolder('half-attention');
    const checkout = join(folder.path, 'checkout');
    await writeRandomCheckpoint(checkout, { shape: SMALL_QWEN2, type: 'F32' });
    await writeFile(join(checkout, 'tokenizer.json'), '{}');
    const out = join(folder.path, 'built');
    const { onnxPath, halfAttentionPath = '' } = await buildCheckout(await readCheckout(checkout), {
      variant,
      out,
    });
    const common = { dimensions: SMALL_QWEN2.hidden, padTokenId: 0, isDecoder: true, threads: 1 };
    const options = { ...common, prefixes: [text(8)], log: createLogger('test', 'silent') };
    const whole = await OnnxBackend.create({ ...options, onnxPath });
    const half = await OnnxBackend.create({ ...options, onnxPath: halfAttentionPath });
    for (const [ids, lane] of [
      [text(5, 3), 'query'],
      [Uint32Array.from([...text(8), ...text(9, 7)]), 'query'],
      [text(21, 5), 'bulk'],
      [text(700, 4), 'query'],
    ] as const) {
      const [a, b] = [await whole.embed([ids], { lane }), await half.embed([ids], { lane })];
      expect(cosine(a.vectors, b.vectors)).toBeGreaterThan(least);
      expect(a.vectors).not.toEqual(b.vectors);
    }
    for (const backend of [whole, half]) await backend.close();
    await folder.remove();
  });
});
