import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { findModel, type InstalledModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer, type Tokenizer } from '@embergate/models/tokenizer.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { isAlive } from '@embergate/testing/processes.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { OnnxBackend } from '../src/onnx-backend.ts';

const log = createLogger('test', 'silent');

describe('the model in its own process', () => {
  let model: InstalledModel;
  let tokenizer: Tokenizer;
  let backend: OnnxBackend;

  const create = (options: { onnxPath?: string; hangMs?: number } = {}) =>
    OnnxBackend.create({
      onnxPath: model.onnxPath,
      dimensions: 384,
      padTokenId: model.padTokenId,
      log,
      ...options,
    });
  const ids = (text: string) => tokenizer.encode(text).ids;
  /** Never a made-up one: a signal to -1 goes to every process there is. */
  const pidOf = ({ childPid }: OnnxBackend): number => {
    if (childPid === undefined) throw new Error('there is no inference process');
    return childPid;
  };
  const cosine = (a: Float32Array, b: Float32Array) =>
    a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);

  beforeAll(async () => {
    model = await findModel(DEFAULT_MODEL, { modelDir: inject('modelDir') });
    tokenizer = await loadTokenizer(model.tokenizerPath, { maxTokens: model.maxTokens });
    backend = await create();
  });
  afterAll(() => backend.close());

  it('gives a text the same vector alone and beside longer ones', async () => {
    const alone = await backend.embed([ids('open a file')]);
    const together = await backend.embed([
      ids('open a file'),
      ids('a much longer text '.repeat(40)),
      ids('x'),
    ]);
    expect(cosine(alone, together.subarray(0, 384))).toBeGreaterThan(0.99999);
    expect(cosine(alone, alone)).toBeCloseTo(1, 5);
  });

  it('puts like texts near and unlike ones far', async () => {
    const vectors = await backend.embed(
      ['read a file from disk', 'load the contents of a document', 'bake a cake'].map(ids),
    );
    const [read, load, bake] = [0, 1, 2].map((row) => vectors.subarray(row * 384, (row + 1) * 384)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    expect(cosine(read, load)).toBeGreaterThan(cosine(read, bake));
  });

  it('killed in the middle of a batch: that batch fails with a typed error, the next one is answered', async () => {
    const long = Array.from({ length: 64 }, () => ids('word '.repeat(300)));
    const failing = expect(backend.embed(long)).rejects.toMatchObject({ code: 'embedding_failed' });
    process.kill(pidOf(backend), 'SIGKILL');
    await failing;
    expect(await backend.embed([ids('still here')])).toHaveLength(384);
  });

  it('hanging: the process is replaced, and the next batch is answered', async () => {
    const hanging = await create({ hangMs: 300 });
    const childPid = pidOf(hanging);
    process.kill(childPid, 'SIGSTOP');
    await expect(hanging.embed([ids('a')])).rejects.toMatchObject({ code: 'embedding_failed' });
    expect(await hanging.embed([ids('a')])).toHaveLength(384);
    expect(hanging.childPid).not.toBe(childPid);
    await hanging.close();
  });

  it('a model file that cannot be read is said to be damaged, and no process stays', async () => {
    const folder = await temporaryFolder('model');
    const onnxPath = join(folder.path, 'broken.onnx');
    await writeFile(onnxPath, 'this is no model');
    await expect(create({ onnxPath })).rejects.toMatchObject({
      code: 'model_damaged',
      message: expect.stringContaining(onnxPath) as string,
    });
    await folder.remove();
  });

  it('ends its process on close, and says so to whoever asks for more', async () => {
    const closing = await create();
    const childPid = pidOf(closing);
    await closing.close();
    await eventually('the process has ended', () => !isAlive(childPid));
    await expect(closing.embed([ids('a')])).rejects.toMatchObject({ code: 'shutting_down' });
  });
});
