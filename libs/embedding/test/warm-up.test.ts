import { AppError } from '@embergate/contracts/errors.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { EmbeddingBackend, EmbedOptions } from '../src/backend.ts';
import { paddedTokens } from '../src/padded-tokens.ts';
import { warmUp } from '../src/warm-up.ts';

/** Stands for a model whose n-th batch takes `msOf(n)`, and whose process is ended when a batch takes longer than it may. */
function modelOf(msOf: (n: number) => number) {
  const model = {
    device: 'cpu',
    dimensions: 1,
    bulkBeside: 0,
    isolatesBulk: false,
    pads: true,
    isReady: true,
    batches: 0,
    computedTokens: paddedTokens,
    whenReady: () => Promise.resolve(),
    async embed(batch: readonly Uint32Array[], { hangMs = Infinity }: EmbedOptions = {}) {
      const ms = msOf(model.batches++);
      // Whoever ends a process gives it a grace.
      await sleep(Math.min(ms, hangMs + 10));
      if (ms > hangMs) throw new AppError('embedding_failed', 'ended', { details: { childEnded: true } });
      return { vectors: new Float32Array(batch.length), ms };
    },
    close: () => Promise.resolve(),
  } satisfies EmbeddingBackend & { batches: number };
  return model;
}

describe('the warm-up', () => {
  it('ends with a fit of all sizes where there is time', async () => {
    const model = modelOf(() => 0);
    expect((await warmUp(model, 512)).a).toBeGreaterThanOrEqual(0);
    expect(model.batches).toBe(18);
  });

  it('a first batch that does not end: model_too_slow, and how long it had', async () => {
    await expect(
      warmUp(
        modelOf(() => Infinity),
        512,
        { limitMs: 40 },
      ),
    ).rejects.toMatchObject({
      code: 'model_too_slow',
      message: expect.stringContaining('within 0.04 s') as string,
    });
  });

  it('a later batch that does not end in what is left of the time: model_too_slow', async () => {
    const model = modelOf((n) => (n === 0 ? 0 : 100));
    await expect(warmUp(model, 512, { limitMs: 50 })).rejects.toMatchObject({ code: 'model_too_slow' });
  });

  it('a model that ends for another reason has its own error', async () => {
    const broken = new AppError('embedding_failed', 'no such token');
    const model = { ...modelOf(() => 0), embed: () => Promise.reject(broken) };
    await expect(warmUp(model, 512)).rejects.toBe(broken);
  });
});
