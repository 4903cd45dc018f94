import { encodeTokenIds, type EmbedJob } from '@embergate/contracts/embed-job.ts';
import type { EmbedOptions } from '@embergate/embedding/backend.ts';
import { Batcher } from '@embergate/embedding/batcher.ts';
import { paddedTokens } from '@embergate/embedding/padded-tokens.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import { LiveFit } from '@embergate/routing/fit.ts';
import { describe, expect, it } from 'vitest';
import { embedHandler } from '../src/embed-handler.ts';

const job: EmbedJob = {
  id: 'job',
  space: 's',
  inputs: [encodeTokenIds(Uint32Array.of(1, 2)), encodeTokenIds(Uint32Array.of(3))],
  tokenCount: 3,
  deadline: 60_000,
  enqueuedAt: 1,
  replyTo: 'inbox',
};
const model = { maxTokens: 8, space: { dimensions: 2 } } as InstalledModel;

/** A worker of that tier before a fake model that answers with zeros; `given` are the texts of each batch. */
function worker(tier: 'remote' | 'cpu') {
  const given: EmbedOptions['texts'][] = [];
  const backend = {
    device: tier,
    dimensions: 2,
    isReady: true,
    bulkBeside: 0,
    isolatesBulk: false,
    pads: true,
    computedTokens: paddedTokens,
    whenReady: () => Promise.resolve(),
    embed: async (batch: readonly Uint32Array[], options?: EmbedOptions) => {
      given.push(options?.texts);
      return { vectors: new Float32Array(2 * batch.length), ms: 1 };
    },
    close: () => Promise.resolve(),
  };
  const batcher = new Batcher({ backend, fit: new LiveFit({ a: 1, b: 1 }) });
  const self = { workerId: 'w', tier, space: 's', variant: 'v', device: tier };
  return {
    given,
    handle: embedHandler({ batcher, model, worker: self, isAligned: () => true, clock: { now: () => 0 } }),
  };
}

describe('a worker of the remote tier', () => {
  it('embeds the texts that a job carries', async () => {
    const { given, handle } = worker('remote');
    const reply = await handle({ ...job, texts: ['one', 'two'] }, 'bulk');
    expect(reply.meta).toMatchObject({ status: 'ok', count: 2, tier: 'remote' });
    expect(given.flat().toSorted()).toEqual(['one', 'two']);
  });

  it('says that it needs them where a job has none, or not one for each input', async () => {
    const { given, handle } = worker('remote');
    const refused = { code: 'embedding_failed', message: expect.stringContaining('no texts') };
    await expect(handle(job, 'query')).rejects.toMatchObject(refused);
    await expect(handle({ ...job, texts: ['one'] }, 'query')).rejects.toMatchObject(refused);
    expect(given).toEqual([]);
  });

  it('is the only one that does', async () => {
    const { given, handle } = worker('cpu');
    expect((await handle(job, 'bulk')).meta.status).toBe('ok');
    expect(given.flat()).toEqual([undefined]);
  });
});
