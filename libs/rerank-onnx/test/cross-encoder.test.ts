import { createLogger } from '@embergate/platform/logs.ts';
import type { InstalledReranker } from '@embergate/models/installed-reranker.ts';
import { describeReranker } from '@embergate/rerank/conformance.ts';
import { RerankSkipped } from '@embergate/rerank/reranker.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeFile } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CrossEncoder } from '../src/cross-encoder.ts';
import { randomCrossEncoder } from './cross-encoders.ts';

let root: Awaited<ReturnType<typeof temporaryFolder>>;
let model: InstalledReranker;
beforeAll(async () => {
  root = await temporaryFolder('cross-encoder');
  model = await randomCrossEncoder(root.path);
});
afterAll(() => root.remove());

const open = (options: Partial<Parameters<typeof CrossEncoder.create>[0]> = {}) =>
  CrossEncoder.create({
    ...model,
    maxPassages: 50,
    threads: 1,
    log: createLogger('test', 'silent'),
    ...options,
  });
const soon = (ms = 60_000) => ({ until: performance.now() + ms });
const PASSAGES = Array.from({ length: 30 }, (_, at) => `def step_${at}(value):\n    return value ** ${at}\n`);
const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describeReranker('A cross-encoder in a child process', open);

describe('a cross-encoder', () => {
  let encoder: CrossEncoder;
  beforeAll(async () => {
    encoder = await open();
  });
  afterAll(() => encoder.close());

  it('gives a pair the same score in whatever company', async () => {
    const together = await encoder.rerank('raise to a power', PASSAGES, soon());
    for (const at of [0, 7, 29]) {
      const [alone] = await encoder.rerank('raise to a power', [PASSAGES[at] ?? ''], soon());
      expect(alone?.score).toBeCloseTo(together.find((ranked) => ranked.at === at)?.score ?? NaN, 5);
    }
  });

  it('reads the query with each passage', async () => {
    const orderFor = async (query: string) =>
      (await encoder.rerank(query, PASSAGES, soon())).map(({ at }) => at);
    expect(await orderFor('open a socket')).not.toEqual(await orderFor('sort a list of names'));
  });

  it('ranks the beginning of a list that does not fit into its time', async () => {
    const long = Array.from({ length: 50 }, () => 'value = compute(value) + 1\n'.repeat(40));
    const startedAt = performance.now();
    expect(await encoder.rerank('q', long, soon())).toHaveLength(50);
    const wholeMs = performance.now() - startedAt;
    const part = await encoder.rerank('q', long, soon(wholeMs / 2)).catch((error: unknown) => error);
    // On a machine that stood still meanwhile nothing is ranked; the rest never is.
    if (part instanceof RerankSkipped) expect(['no_time', 'late']).toContain(part.reason);
    else expect([8, 16, 24, 32, 40]).toContain((part as unknown[]).length);
  });

  it('leaves the thread of its gateway free while it computes', async () => {
    const long = Array.from({ length: 50 }, () => 'value = compute(value) + 1\n'.repeat(40));
    const delay = monitorEventLoopDelay({ resolution: 1 });
    let turns = 0;
    const turning = setInterval(() => (turns += 1), 1);
    delay.enable();
    await encoder.rerank('q', long, soon());
    delay.disable();
    clearInterval(turning);
    // In one process it would not turn once within a batch.
    expect(turns).toBeGreaterThan(long.length / 8);
    expect(delay.count).toBeGreaterThan(0);
  });

  it('calls a list late, and not failed, whose turn came when nobody waited for it any more', async () => {
    const before = encoder.rerank('q', PASSAGES, soon());
    const leaving = new AbortController();
    const left = encoder.rerank('q', PASSAGES, { ...soon(), signal: leaving.signal });
    leaving.abort();
    await expect(left).rejects.toMatchObject({ reason: 'late' });
    expect(await before).toHaveLength(30);
  });

  it('that is killed is away for a moment, and comes back', async () => {
    const dying = encoder.childPid ?? NaN;
    const working = encoder.rerank('q', PASSAGES, soon()).catch((error: unknown) => error);
    process.kill(dying, 'SIGKILL');
    const found = await working;
    // Killed before its first batch was done, or after.
    if (!Array.isArray(found)) expect(found).toBeInstanceOf(RerankSkipped);
    await eventually('another child', () => encoder.childPid !== undefined && encoder.childPid !== dying);
    expect(await encoder.rerank('q', PASSAGES, soon())).toHaveLength(30);
  });

  it('leaves no process behind', async () => {
    const closing = await open();
    const pid = closing.childPid ?? NaN;
    expect(isRunning(pid)).toBe(true);
    await closing.close();
    expect(isRunning(pid)).toBe(false);
  });
});

describe('a start is refused', () => {
  it('with a model that onnxruntime cannot read', async () => {
    const onnxPath = `${root.path}/broken.onnx`;
    await writeFile(onnxPath, 'not a graph');
    await expect(open({ onnxPath })).rejects.toMatchObject({ code: 'model_damaged' });
  });

  it('with a tokenizer that cannot be read', async () => {
    const tokenizerPath = `${root.path}/broken.json`;
    await writeFile(tokenizerPath, '{"model": {}}');
    await expect(open({ tokenizerPath })).rejects.toMatchObject({ code: 'model_damaged' });
  });
});
