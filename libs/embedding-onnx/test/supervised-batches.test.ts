import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import type { EmbeddingBackend } from '@embergate/embedding/backend.ts';
import { Batcher } from '@embergate/embedding/batcher.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer, type Tokenizer } from '@embergate/models/tokenizer.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { LiveFit } from '@embergate/routing/fit.ts';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { OnnxBackend } from '../src/onnx-backend.ts';

/**
 * The real model in a real process, which gets a real signal whenever one of some texts is with it: what a text does that
 * crashes the runtime, or needs more memory than there is.
 */
function signalledOn(isPoison: (ids: Uint32Array) => boolean, signal: NodeJS.Signals, real: OnnxBackend) {
  return {
    device: real.device,
    dimensions: real.dimensions,
    bulkBeside: real.bulkBeside,
    isolatesBulk: real.isolatesBulk,
    pads: real.pads,
    computedTokens: (batch) => real.computedTokens(batch),
    get isReady() {
      return real.isReady;
    },
    whenReady: () => real.whenReady(),
    embed: (batch, options) => {
      const answer = real.embed(batch, options);
      if (real.childPid !== undefined && batch.some(isPoison)) process.kill(real.childPid, signal);
      return answer;
    },
    close: () => real.close(),
  } satisfies EmbeddingBackend;
}

describe('batches of a model in a process that ends', () => {
  let real: OnnxBackend;
  let tokenizer: Tokenizer;
  const fit = () => new LiveFit({ a: 1, b: 0.1 });
  const ids = (text: string) => tokenizer.encode(text).ids;
  const words = [
    'read a file',
    'parse a date',
    'send mail',
    'sort a list',
    'draw a line',
    'hash a password',
    'exit',
  ];

  beforeAll(async () => {
    const model = await findModel(DEFAULT_MODEL, { modelDir: inject('modelDir') });
    tokenizer = await loadTokenizer(model.tokenizerPath, { maxTokens: model.maxTokens });
    real = await OnnxBackend.create({
      onnxPath: model.onnxPath,
      dimensions: 384,
      padTokenId: model.padTokenId,
      log: createLogger('test', 'silent'),
    });
  });
  afterAll(() => real.close());

  /** Submits all words as requests of their own, and says what became of each: its vector's cosine to the right one, or a code. */
  async function outcomes(batcher: Batcher) {
    const answers = await Promise.allSettled(
      words.map((word) => batcher.submit([ids(word)], { lane: 'query' })),
    );
    const found: (string | number)[] = [];
    for (const [index, answer] of answers.entries()) {
      if (answer.status === 'rejected') found.push((answer.reason as { code: string }).code);
      else {
        const { vectors: direct } = await real.embed([ids(words[index] ?? '')]);
        const cosine = direct.reduce((sum, value, at) => sum + value * (answer.value.vectors[at] ?? 0), 0);
        found.push(Number(cosine.toFixed(4)));
      }
    }
    return found;
  }

  it('a text that gets the process killed is refused, all others are answered with the right vectors', async () => {
    const poison = ids('sort a list').join();
    const backend = signalledOn((text) => text.join() === poison, 'SIGKILL', real);
    const batcher = new Batcher({ backend, fit: fit() });
    expect(await outcomes(batcher)).toEqual([1, 1, 1, 'text_refused', 1, 1, 1]);

    const childPid = real.childPid;
    await expect(batcher.submit([ids('sort a list')], { lane: 'bulk' })).rejects.toMatchObject({
      code: 'text_refused',
    });
    expect(real.childPid).toBe(childPid);
  });

  it('a process that freezes once costs its batch some seconds, and no answer', async () => {
    const childPid = real.childPid;
    const backend = signalledOn(() => real.childPid === childPid, 'SIGSTOP', real);
    const batcher = new Batcher({ backend, fit: fit() });
    expect(await outcomes(batcher)).toEqual([1, 1, 1, 1, 1, 1, 1]);
    expect(real.childPid).not.toBe(childPid);
  });

  it('a text that the model says no to fails alone, and ends nothing', async () => {
    const batcher = new Batcher({ backend: real, fit: fit() });
    const childPid = real.childPid;
    const noSuchToken = Uint32Array.of(4_000_000);
    const failing = expect(batcher.submit([noSuchToken], { lane: 'query' })).rejects.toMatchObject({
      code: 'embedding_failed',
    });
    expect(await outcomes(batcher)).toEqual([1, 1, 1, 1, 1, 1, 1]);
    await failing;
    expect(real.childPid).toBe(childPid);
  });
});
