import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeCachedVector, encodeCachedVector, type CachedVector } from '../src/cached-vector.ts';

describe('a cached vector as bytes', () => {
  it('comes back to the last bit, with who made it', () => {
    const entries = fc.record({
      vector: fc.float32Array({ minLength: 1, noNaN: true, noDefaultInfinity: true }),
      tier: fc.constantFrom('gpu', 'remote', 'cpu'),
      variant: fc.string({ unit: 'grapheme' }),
      device: fc.string({ unit: 'grapheme' }),
      reason: fc.option(fc.string({ unit: 'grapheme' })),
      madeAt: fc.nat(),
    });
    fc.assert(
      fc.property(entries, (entry) => {
        const decoded = decodeCachedVector(encodeCachedVector(entry));
        expect(decoded).toEqual(entry);
        expect(decoded.vector.buffer.byteLength).toBe(entry.vector.byteLength);
      }),
    );
  });

  it('is refused when a byte is missing or too many, or when a number is none', () => {
    const entry: CachedVector = {
      ...{ vector: new Float32Array(8).fill(0.5), tier: 'gpu', variant: 'int8-cuda', device: 'cuda' },
      ...{ reason: null, madeAt: 1_800_000_000_000 },
    };
    const frame = encodeCachedVector(entry);
    for (let length = 0; length < frame.length; length++)
      expect(() => decodeCachedVector(frame.subarray(0, length))).toThrow();
    expect(() => decodeCachedVector(Buffer.concat([frame, Buffer.alloc(4)]))).toThrow();
    expect(() =>
      decodeCachedVector(encodeCachedVector({ ...entry, vector: new Float32Array(8).fill(NaN) })),
    ).toThrow();
  });
});
