import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { Batcher } from '@embergate/embedding/batcher.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer, type Tokenizer } from '@embergate/models/tokenizer.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { LiveFit } from '@embergate/routing/fit.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { isAlive } from '@embergate/testing/processes.ts';
import { getPriority } from 'node:os';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { BulkProcesses } from '../src/bulk-processes.ts';
import { OnnxBackend, type OnnxBackendOptions } from '../src/onnx-backend.ts';

/** Has a real process get a real signal whenever that text is with it. */
function endsWith(backend: OnnxBackend, poison: Uint32Array): void {
  const embed = backend.embed.bind(backend);
  backend.embed = async (batch, options) => {
    await backend.whenReady();
    const answer = embed(batch, options);
    if (batch.some((ids) => ids.join() === poison.join())) process.kill(backend.childPid ?? NaN, 'SIGKILL');
    return answer;
  };
}

describe('bulk work beside queries', () => {
  let options: OnnxBackendOptions;
  let tokenizer: Tokenizer;
  let queries: OnnxBackend;
  let started: OnnxBackend[];
  let model: BulkProcesses;

  const create = ({ onnxPath = options.onnxPath, worthMs = 0, windowMs = 60_000 } = {}): BulkProcesses =>
    new BulkProcesses({
      queries,
      start: () => {
        const process = new OnnxBackend({ ...options, onnxPath, threads: 1, isBackground: true });
        started.push(process);
        return process;
      },
      processes: 2,
      worthMs,
      windowMs,
      log: options.log,
    });
  const texts = (count: number): Uint32Array[] =>
    Array.from({ length: count }, (_, at) => tokenizer.encode(`def f${at}(): return ${at}`).ids);
  const bulk = { lane: 'bulk' } as const;
  const pids = (): number[] => started.flatMap(({ childPid }) => childPid ?? []);
  const bothThere = () =>
    eventually('both processes are there', () => started.length === 2 && started.every((one) => one.isReady));

  beforeEach(async () => {
    const { onnxPath, padTokenId, tokenizerPath, maxTokens } = await findModel(DEFAULT_MODEL, {
      modelDir: inject('modelDir'),
    });
    tokenizer = await loadTokenizer(tokenizerPath, { maxTokens });
    options = { onnxPath, padTokenId, dimensions: 384, log: createLogger('test', 'silent') };
    queries = await OnnxBackend.create(options);
    started = [];
    model = create();
  });
  afterEach(() => model.close());

  it('has no processes until there is some; then they go behind queries, have the same vectors, and end with the worker', async () => {
    const inQuery = await model.embed(texts(3));
    expect(started).toEqual([]);
    // The first batches do not wait for them.
    const first = await model.embed(texts(3), bulk);
    await bothThere();
    const later = await model.embed(texts(3), bulk);
    for (const { vectors } of [first, later]) {
      vectors.forEach((value, at) => expect(value).toBeCloseTo(inQuery.vectors[at] ?? NaN, 5));
    }
    const all = pids();
    expect(all.map((pid) => getPriority(pid))).toEqual([5, 5]);
    await model.close();
    await eventually('both have ended', () => !all.some(isAlive));
  });

  it('is computed by all of them at once, while queries have theirs', async () => {
    await model.embed(texts(1), bulk);
    await bothThere();
    for (const pid of pids()) process.kill(pid, 'SIGSTOP');
    const waiting = [model.embed(texts(2), bulk), model.embed(texts(2), bulk)];
    expect((await model.embed(texts(1))).vectors).toHaveLength(384);
    for (const pid of pids()) process.kill(pid, 'SIGCONT');
    for (const { vectors } of await Promise.all(waiting)) expect(vectors).toHaveLength(2 * 384);
  });

  it('goes on when one of them is killed with -9 in the middle of a batch, and no text is lost', async () => {
    const batcher = new Batcher({ backend: model, fit: new LiveFit({ a: 1, b: 0.1 }), bulkBatchTokens: 64 });
    await batcher.submit(texts(1), bulk);
    await bothThere();
    const [dying = NaN] = pids();
    process.kill(dying, 'SIGSTOP');
    const answer = batcher.submit(texts(40), bulk);
    process.kill(dying, 'SIGKILL');
    expect((await answer).vectors).toHaveLength(40 * 384);
    await eventually('another one is in its place', () => pids().length === 2 && !pids().includes(dying));
    await batcher.close();
  });

  it('is over: the processes end, and others come with the next', async () => {
    await model.close();
    queries = await OnnxBackend.create(options);
    // Long enough for the second one to start before the first one is idle for as long, also on a busy machine.
    model = create({ windowMs: 3_000 });
    await model.embed(texts(1), bulk);
    await bothThere();
    const all = pids();
    await eventually('both have ended', () => !all.some(isAlive));
    started = [];
    expect((await model.embed(texts(1), bulk)).vectors).toHaveLength(384);
    await bothThere();
  });

  it('has none for a few texts, as when a worker looks whether its vectors are those of the collections', async () => {
    await model.close();
    queries = await OnnxBackend.create(options);
    model = create({ worthMs: 60_000 });
    for (let batch = 0; batch < 5; batch++) await model.embed(texts(2), bulk);
    expect(started).toEqual([]);
  });

  it('ends with a worker that stops while they start, and while one of them is frozen', async () => {
    await model.embed(texts(1), bulk);
    await eventually('the first one starts', () => pids().length === 1);
    await model.close();
    await eventually('it has ended', () => !pids().some(isAlive));

    queries = await OnnxBackend.create(options);
    started = [];
    model = create();
    await model.embed(texts(1), bulk);
    await bothThere();
    const all = pids();
    for (const pid of all) process.kill(pid, 'SIGSTOP');
    const lost = expect(model.embed(texts(1), bulk)).rejects.toMatchObject({ code: 'embedding_failed' });
    await new Promise(setImmediate);
    await model.close();
    await lost;
    await eventually('both have ended', () => !all.some(isAlive));
  });

  it('refuses a text that ends its process, and computes all others, while queries are answered', async () => {
    await model.embed(texts(1), bulk);
    await bothThere();
    const poison = tokenizer.encode('poison').ids;
    for (const process of started) endsWith(process, poison);
    const before = queries.childPid;
    const batcher = new Batcher({ backend: model, fit: new LiveFit({ a: 1, b: 0.1 }), bulkBatchTokens: 32 });
    const refused = expect(batcher.submit([...texts(1), poison], bulk)).rejects.toMatchObject({
      code: 'text_refused',
    });
    const others = batcher.submit(texts(20), bulk);
    expect((await batcher.submit(texts(1), { lane: 'query' })).vectors).toHaveLength(384);
    await refused;
    expect((await others).vectors).toHaveLength(20 * 384);
    expect(queries.childPid).toBe(before);
    await batcher.close();
  });

  it('is left to the process of the queries where no other one starts', async () => {
    await queries.close();
    queries = await OnnxBackend.create(options);
    model = create({ onnxPath: '/nowhere/model.onnx' });
    for (let round = 0; round < 3; round++) {
      expect((await model.embed(texts(2), bulk)).vectors).toHaveLength(2 * 384);
    }
    await eventually('it has been tried', () => started.length === 1 && pids().every((pid) => !isAlive(pid)));
  });
});
