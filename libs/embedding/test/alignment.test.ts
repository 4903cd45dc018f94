import {
  decodeAlignmentReference,
  encodeAlignmentReference,
  type AlignmentReference,
} from '@embergate/contracts/alignment.ts';
import { describe, expect, it } from 'vitest';
import { isAligned, measureAlignment, strangeCollections } from '../src/alignment.ts';

const DIMENSIONS = 16;
const FLOORS = { cosine: 0.95, overlap: 0.5 };

/** Numbers that look random, the same in every run. */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

function referenceOf(rows: number, canaries: number): AlignmentReference {
  const next = noise(7);
  return {
    dimensions: DIMENSIONS,
    canaries: Array.from({ length: canaries }, (_, n) => ({
      collection: n % 4 === 3 ? 'small' : 'large',
      text: `text ${n}`,
      ids: Uint32Array.of(1, n, 2),
    })),
    sample: Float32Array.from({ length: rows * DIMENSIONS }, next),
  };
}

/** The canaries' held vectors, moved by noise of that share. */
function ownOf({ sample, canaries }: AlignmentReference, share: number): Float32Array {
  const next = noise(99);
  return sample.slice(0, canaries.length * DIMENSIONS).map((value) => value + share * next());
}

describe('how well a variant agrees with a collection', () => {
  const reference = referenceOf(200, 8);

  it('the same vectors agree fully, whatever their length', () => {
    const own = ownOf(reference, 0).map((value) => value * 3);
    const alignment = measureAlignment(reference, own);
    expect(alignment.cosine).toBeCloseTo(1, 6);
    expect(alignment.overlap).toBe(1);
    expect(isAligned(alignment, FLOORS)).toBe(true);
  });

  it('the coarser a variant, the lower both, and neighbours change before the cosine does', () => {
    const alignments = [0.05, 0.3, 3].map((share) => measureAlignment(reference, ownOf(reference, share)));
    const [fine, coarse, wrong] = alignments as [
      (typeof alignments)[0],
      (typeof alignments)[0],
      (typeof alignments)[0],
    ];
    expect(fine.cosine).toBeGreaterThan(0.995);
    expect(coarse.cosine).toBeLessThan(fine.cosine);
    expect(coarse.overlap).toBeLessThan(fine.overlap ?? 0);
    expect(coarse.overlap).toBeLessThan(coarse.cosine);
    expect(isAligned(fine, FLOORS)).toBe(true);
    expect(isAligned(wrong, FLOORS)).toBe(false);
  });

  it('either floor alone keeps a variant out', () => {
    expect(isAligned({ cosine: 0.99, overlap: 0.4 }, FLOORS)).toBe(false);
    expect(isAligned({ cosine: 0.94, overlap: 1 }, FLOORS)).toBe(false);
    expect(isAligned({ cosine: 0.95, overlap: 0.5 }, FLOORS)).toBe(true);
    // Opposite vectors have a cosine below any floor.
    expect(isAligned({ cosine: -0.1, overlap: 0 }, { cosine: 0, overlap: 0 })).toBe(true);
    expect(isAligned({ cosine: -0.1, overlap: 0 }, { cosine: 0, overlap: 0.1 })).toBe(false);
  });

  it('a few held vectors of other texts do not condemn a variant that is right', () => {
    const own = ownOf(reference, 0);
    own.set(ownOf(reference, 5).subarray(0, 3 * DIMENSIONS));
    expect(measureAlignment(reference, own).cosine).toBeCloseTo(1, 6);
  });

  it('names a collection whose vectors are others, while the variant agrees with the rest', () => {
    const own = ownOf(reference, 0);
    const noisy = ownOf(reference, 5);
    for (const at of [3, 7]) {
      const row = noisy.subarray(at * DIMENSIONS, (at + 1) * DIMENSIONS);
      own.set(row, at * DIMENSIONS);
    }
    expect(measureAlignment(reference, own).cosine).toBeCloseTo(1, 6);
    expect(strangeCollections(reference, own, FLOORS)).toEqual(['small']);
    expect(strangeCollections(reference, ownOf(reference, 0), FLOORS)).toEqual([]);
  });

  it('a small collection has too few neighbours to compare, and its cosine counts alone', () => {
    for (const [rows, canaries] of [
      [2, 1],
      [10, 5],
    ] as const) {
      const small = referenceOf(rows, canaries);
      const alignment = measureAlignment(small, ownOf(small, 0.3));
      expect(alignment.overlap).toBeNull();
      expect(isAligned(alignment, { cosine: 0.5, overlap: 1 })).toBe(true);
    }
    const enough = referenceOf(11, 5);
    expect(measureAlignment(enough, ownOf(enough, 0)).overlap).toBe(1);
  });

  it('a vector of zeros agrees with nothing', () => {
    const alignment = measureAlignment(reference, new Float32Array(8 * DIMENSIONS));
    expect(alignment.cosine).toBe(0);
  });
});

describe('what variants are compared with, as it crosses the queue', () => {
  it('comes back as it was sent, bit by bit', () => {
    const reference = referenceOf(20, 3);
    expect(decodeAlignmentReference(encodeAlignmentReference(reference))).toEqual(reference);
  });

  it.each<[string, (reference: AlignmentReference) => AlignmentReference]>([
    ['fewer rows than texts', (r) => ({ ...r, sample: r.sample.slice(0, 2 * DIMENSIONS) })],
    ['half a row', (r) => ({ ...r, sample: r.sample.slice(0, 3.5 * DIMENSIONS) })],
    ['numbers that are none', (r) => ({ ...r, sample: r.sample.slice().fill(NaN, 0, 1) })],
    ['no text', (r) => ({ ...r, canaries: [] })],
  ])('is refused with %s', (_, spoil) => {
    const frame = encodeAlignmentReference(spoil(referenceOf(20, 3)));
    expect(() => decodeAlignmentReference(frame)).toThrow();
  });
});
