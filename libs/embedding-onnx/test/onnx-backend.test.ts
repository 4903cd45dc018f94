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
import { OnnxBackend, type OnnxBackendOptions } from '../src/onnx-backend.ts';

const log = createLogger('test', 'silent');

/** Blocks this process, as SIGSTOP would. */
const standStill = (ms: number): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

describe('the model in its own process', () => {
  let model: InstalledModel;
  let tokenizer: Tokenizer;
  let backend: OnnxBackend;

  const create = (options: Partial<OnnxBackendOptions> = {}) =>
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
    const { vectors: alone } = await backend.embed([ids('open a file')]);
    const { vectors: together } = await backend.embed([
      ids('open a file'),
      ids('a much longer text '.repeat(40)),
      ids('x'),
    ]);
    expect(cosine(alone, together.subarray(0, 384))).toBeGreaterThan(0.99999);
    expect(cosine(alone, alone)).toBeCloseTo(1, 5);
  });

  it('puts like texts near and unlike ones far', async () => {
    const { vectors } = await backend.embed(
      ['read a file from disk', 'load the contents of a document', 'bake a cake'].map(ids),
    );
    const [read, load, bake] = [0, 1, 2].map((row) => vectors.subarray(row * 384, (row + 1) * 384)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    expect(cosine(read, load)).toBeGreaterThan(cosine(read, bake));
  });

  it('killed in the middle of a batch: that batch fails and says why, the next one is answered', async () => {
    const long = Array.from({ length: 64 }, () => ids('word '.repeat(300)));
    const failing = expect(backend.embed(long)).rejects.toMatchObject({
      code: 'embedding_failed',
      details: { childEnded: true },
    });
    process.kill(pidOf(backend), 'SIGKILL');
    await failing;
    expect(backend.isReady).toBe(false);
    expect((await backend.embed([ids('still here')])).vectors).toHaveLength(384);
    expect(backend.isReady).toBe(true);
  });

  it('a batch that the model cannot compute fails, and the process goes on', async () => {
    const childPid = pidOf(backend);
    const noSuchToken = Uint32Array.of(4_000_000);
    await expect(backend.embed([noSuchToken])).rejects.toMatchObject({
      code: 'embedding_failed',
      details: {},
    });
    expect((await backend.embed([ids('still here')])).vectors).toHaveLength(384);
    expect(backend.childPid).toBe(childPid);
  });

  it('killed with nothing to do, and again while it loads: said at once, and the next batch is answered', async () => {
    const told: boolean[] = [];
    const killed = await create({ onAvailable: (available) => told.push(available) });
    const first = pidOf(killed);
    process.kill(first, 'SIGKILL');
    await eventually('its end was noticed', () => told.length === 1);
    const next = await eventually('the next one loads', () => pidOf(killed) !== first && pidOf(killed));
    process.kill(next, 'SIGKILL');
    expect((await killed.embed([ids('a')])).vectors).toHaveLength(384);
    expect(killed.childPid).not.toBe(next);
    expect(told).toEqual([false, true]);
    await killed.close();
  });

  it('frozen: the process is replaced after the time that the batch was given, and the next one is answered', async () => {
    const frozen = await create();
    const childPid = pidOf(frozen);
    process.kill(childPid, 'SIGSTOP');
    await expect(frozen.embed([ids('a')], { hangMs: 300 })).rejects.toMatchObject({
      code: 'embedding_failed',
      details: { childEnded: true },
    });
    expect((await frozen.embed([ids('a')])).vectors).toHaveLength(384);
    expect(frozen.childPid).not.toBe(childPid);
    expect(isAlive(childPid)).toBe(false);
    await frozen.close();
  });

  it('a supervisor that stood still for longer than a hang keeps its healthy process', async () => {
    const childPid = pidOf(backend);
    const answer = backend.embed([ids('a')], { hangMs: 300 });
    await new Promise(setImmediate);
    standStill(1_000);
    expect((await answer).vectors).toHaveLength(384);
    expect(backend.childPid).toBe(childPid);
  });

  it('both stood still, as a frozen container does: the batch has its time again', async () => {
    const childPid = pidOf(backend);
    const answer = backend.embed([ids('a')], { hangMs: 1_000 });
    process.kill(childPid, 'SIGSTOP');
    await new Promise(setImmediate);
    standStill(1_500);
    setTimeout(() => process.kill(childPid, 'SIGCONT'), 500);
    expect((await answer).vectors).toHaveLength(384);
    expect(backend.childPid).toBe(childPid);
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

  it('closed while it waits for the next process: whoever waits hears of it, and none is started', async () => {
    const closing = await create();
    process.kill(pidOf(closing), 'SIGKILL');
    await eventually('its end was noticed', () => !closing.isReady);
    const waiting = expect(closing.whenReady()).rejects.toMatchObject({ code: 'shutting_down' });
    const last = pidOf(closing);
    await closing.close();
    await waiting;
    await eventually('the process has ended', () => !isAlive(last));
  });

  it('ends its process on close, and says so to whoever asks for more', async () => {
    const closing = await create();
    const childPid = pidOf(closing);
    await closing.close();
    await eventually('the process has ended', () => !isAlive(childPid));
    await expect(closing.embed([ids('a')])).rejects.toMatchObject({ code: 'shutting_down' });
  });
});
