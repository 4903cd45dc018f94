import {
  NO_REFERENCE,
  type Alignment,
  type AlignmentReference,
  type PublishedReference,
} from '@embergate/contracts/alignment.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import type { SubmitOptions } from '@embergate/embedding/embed-request.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AlignmentCheck } from '../src/alignment-check.ts';

const reference: AlignmentReference = {
  dimensions: 2,
  canaries: [{ collection: 'default', text: 'a canary', ids: Uint32Array.of(1, 7, 2) }],
  sample: Float32Array.of(1, 0, 0, 1),
};
const published = (version: string): PublishedReference => ({ version, reference });

/** A worker before fake references and a fake model, whose vector the test sets. */
function scene() {
  const state = {
    version: null as string | null,
    vector: Float32Array.of(1, 0),
    fails: false,
    batches: [] as SubmitOptions['texts'][],
    told: [] as [Alignment | null, boolean][],
  };
  const check = new AlignmentCheck({
    references: {
      version: async () => state.version,
      read: async () => (state.version === null ? null : published(state.version)),
    },
    space: 's',
    batcher: {
      submit: async (_inputs, { texts }) => {
        state.batches.push(texts);
        if (state.fails) throw new AppError('embedding_failed', 'The model is broken.');
        return { vectors: state.vector, queueMs: 0, inferenceMs: 1 };
      },
    },
    floors: { cosine: 0.95, overlap: 0.5 },
    onMeasured: (alignment, isAligned) => state.told.push([alignment, isAligned]),
    log: createLogger('test', 'silent'),
  });
  return { state, check };
}

describe('a worker that compares itself with the collections', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('has done so once it has started, and does it again only for another sample', async () => {
    const { state, check } = scene();
    state.version = 'one';
    await check.start();
    expect(state.told).toEqual([[{ cosine: 1, overlap: null }, true]]);
    expect(state.batches).toEqual([['a canary']]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(state.batches).toHaveLength(1);
    state.version = 'two';
    state.vector = Float32Array.of(0, 1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(state.told.at(-1)).toEqual([{ cosine: 0, overlap: null }, false]);
    check.stop();
  });

  it('stays misaligned while nobody says anything, and not when the collections are gone', async () => {
    const { state, check } = scene();
    state.version = 'one';
    state.vector = Float32Array.of(0, 1);
    await check.start();
    state.version = null;
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(state.told).toHaveLength(1);
    state.version = NO_REFERENCE;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(state.told.slice(1)).toEqual([[null, true]]);
    state.version = 'one';
    await vi.advanceTimersByTimeAsync(2_000);
    expect(state.told.at(-1)?.[1]).toBe(false);
    check.stop();
  });

  it('starts all the same where its model fails on the texts, and tries again later', async () => {
    const { state, check } = scene();
    state.version = 'one';
    state.fails = true;
    await check.start();
    await vi.advanceTimersByTimeAsync(20_000);
    expect([state.batches.length, state.told.length]).toEqual([1, 0]);
    state.fails = false;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(state.told).toEqual([[{ cosine: 1, overlap: null }, true]]);
    check.stop();
  });
});
