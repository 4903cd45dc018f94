import { AppError } from '@embergate/contracts/errors.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import type { Heartbeat } from '@embergate/contracts/tiers.ts';
import type { EmbedAnswer, SendRequest } from '@embergate/embedding/transport.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { describe, expect, it } from 'vitest';
import { BulkEmbedder } from '../src/bulk-embedder.ts';
import { checkImport } from '../src/import-check.ts';

const SPACE = {
  model: 'm',
  revision: '1',
  dimensions: 2,
  pooling: 'mean' as const,
  normalize: true,
  prompts: { query: '', document: '' },
};
const beat = (state: Heartbeat['state']): Heartbeat => ({
  workerId: 'w',
  tier: 'cpu',
  state,
  space: spaceId(SPACE),
  model: 'm',
  variant: 'v',
  device: 'cpu',
  fit: { a: 1, b: 0.01 },
  batchTokens: 0,
  alignment: null,
  at: 0,
});
const ids = (count: number): Uint32Array[] => Array.from({ length: count }, (_, n) => Uint32Array.of(n + 1));
const texts = (count: number): string[] => ids(count).map(([id]) => `text ${id}`);

/** A worker whose vector of a text is (1, 0), as far as `fails` lets it answer. */
function embedderThat(
  fails: (inputs: readonly Uint32Array[]) => AppError | undefined,
  state: Heartbeat['state'] = 'ready',
): { embedder: BulkEmbedder; embedded: number[]; beats: Heartbeat[] } {
  const beats = [beat(state)];
  const embedded: number[] = [];
  const send = async ({ inputs }: SendRequest): Promise<EmbedAnswer> => {
    const failure = fails(inputs);
    if (failure) throw failure;
    embedded.push(...inputs.map(([id]) => id ?? 0));
    const meta = {
      status: 'ok',
      id: '',
      count: inputs.length,
      dimensions: 2,
      queueMs: 0,
      inferenceMs: 0,
    } as const;
    const by = { workerId: 'w', tier: 'cpu', variant: 'v', device: 'cpu' };
    return { meta: { ...meta, ...by }, vectors: Float32Array.from(inputs.flatMap(() => [1, 0])) };
  };
  const workers = { living: () => beats, silent: () => [], isKnown: () => true };
  const parts = { transport: { send }, workers, space: SPACE, tiers: ['cpu'] as const };
  const log = createLogger('test', 'silent');
  return { embedder: new BulkEmbedder({ ...parts, onMissed: () => undefined, log }), embedded, beats };
}
const options = (count: number) => ({
  texts: texts(count),
  signal: new AbortController().signal,
  onEmbedded: () => undefined,
});

describe('texts that the model refuses', () => {
  it('are told apart from the others of their job, which get their vectors', async () => {
    const refusal = new AppError('text_refused', 'The text abc ended the process twice.');
    const { embedder, embedded } = embedderThat((inputs) =>
      inputs.some(([id]) => id === 7) ? refusal : undefined,
    );
    const answers = await embedder.embed(ids(100), options(100));
    expect(answers[6]).toBe(refusal);
    expect(answers.filter((answer) => answer instanceof Float32Array)).toHaveLength(99);
    expect(embedded.sort((a, b) => a - b)).toEqual(ids(100).flatMap(([id]) => (id === 7 ? [] : [id])));
  });

  it('may be refused by an API that says so for them alone', async () => {
    const { embedder } = embedderThat((inputs) =>
      inputs.some(([id]) => id === 2) ? new AppError('embedding_failed', '400') : undefined,
    );
    const answers = await embedder.embed(ids(3), options(3));
    expect(answers.map((answer) => answer instanceof AppError)).toEqual([false, true, false]);
  }, 30_000);

  it('are none where the model fails on everything: the run ends', async () => {
    const { embedder } = embedderThat(() => new AppError('embedding_failed', 'broken'));
    await expect(embedder.embed(ids(8), options(8))).rejects.toMatchObject({ code: 'embedding_failed' });
  }, 60_000);
});

describe('a job for a tier that has no worker', () => {
  it('says what it waits for, holds up nobody else, and goes on when one comes', async () => {
    const { embedder, embedded, beats } = embedderThat(() => undefined);
    const waits: (string | null)[] = [];
    const onWaiting = (what: string | null): void => void waits.push(what);
    const many = 10 * 64;
    const forGpu = embedder.embed(ids(many), { ...options(many), onWaiting }, ['gpu']);
    expect(waits).toEqual(['a worker of tier gpu']);

    await embedder.embed(ids(3), { ...options(3), onWaiting: (what) => expect(what).toBeNull() });
    expect(embedded).toHaveLength(3);

    beats.push({ ...beat('ready'), workerId: 'g', tier: 'gpu' });
    expect(await forGpu).toHaveLength(many);
    expect(waits).toEqual(['a worker of tier gpu', null]);
  });
});

describe('an import, before it is published', () => {
  const check = (vector: Float32Array, state: Heartbeat['state'] = 'ready', minCosine = 0.95) =>
    checkImport(
      texts(8).map((text) => ({ path: 'a.py', text, vector })),
      {
        embedder: embedderThat(() => undefined, state).embedder,
        tokenize: () => Uint32Array.of(1),
        minCosine,
        signal: new AbortController().signal,
      },
    );

  it('is taken where a worker makes the same vectors', async () => {
    expect(await check(Float32Array.of(1, 0.1))).toEqual([]);
  });

  it('is refused where a worker makes others', async () => {
    await expect(check(Float32Array.of(0.6, 0.8))).rejects.toMatchObject({
      code: 'vectors_misaligned',
      message: expect.stringContaining('the median cosine is 0.600') as string,
    });
  });

  it('is taken with a warning where nobody is there to compare, or nobody shall', async () => {
    const unverified = [expect.objectContaining({ code: 'import_unverified' })];
    expect(await check(Float32Array.of(0, 1), 'starting')).toEqual(unverified);
    expect(await check(Float32Array.of(0, 1), 'misaligned')).toEqual(unverified);
    expect(await check(Float32Array.of(0, 1), 'ready', 0)).toEqual(unverified);
  });
});
