import { describe, expect, it } from 'vitest';
import { canaryProbe } from '../../src/tiers/canary.ts';
import { CANARY, CANARY_IDS, SPACE } from './scripted-worker.ts';

/** A probe of a tier that answers with one vector; that it goes the way of a query is tested in breakers.test.ts. */
const probeOf = (vector: number[], { normalize }: { normalize: boolean }): Promise<void> =>
  canaryProbe({
    admissions: { reserve: async () => undefined, release: async () => undefined } as never,
    transport: { send: async () => ({ vectors: Float32Array.from(vector) }) as never },
    space: SPACE,
    normalize,
    canary: { ids: CANARY_IDS, text: CANARY },
  })('gpu');

describe('a tier comes back', () => {
  it('with a vector of length one, where the space is normalised', async () => {
    await expect(probeOf([0.6, 0.8], { normalize: true })).resolves.toBeUndefined();
    await expect(probeOf([3, 4], { normalize: true })).rejects.toMatchObject({
      code: 'embedding_failed',
      message: "The canary's vector has the length 5.000.",
    });
  });

  it('with a vector of any length, where it is not', async () => {
    await expect(probeOf([3, 4], { normalize: false })).resolves.toBeUndefined();
  });

  it.each([[[0, 0]], [[Number.NaN, 1]], [[Infinity, 1]], [[]]])('never with %j', async (vector) => {
    for (const normalize of [true, false])
      await expect(probeOf(vector, { normalize })).rejects.toMatchObject({ code: 'embedding_failed' });
  });
});
