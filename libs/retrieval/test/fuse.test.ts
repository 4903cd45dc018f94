import type { ScoredChunk } from '@embergate/vector-store/store.ts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULT_WEIGHTS, fuse } from '../src/fuse.ts';

const chunk = (id: string, score: number): ScoredChunk => ({
  id,
  score,
  repo: 'r',
  path: `${id}.ts`,
  language: 'typescript',
  symbol: '',
  startLine: 1,
  endLine: 2,
  text: id,
});
const ids = (list: ScoredChunk[]): string[] => list.map(({ id }) => id);

describe('what a user sees', () => {
  test('what leads both lists comes first with a score of 1', () => {
    const fused = fuse([chunk('a', 0.9), chunk('b', 0.4)], [chunk('a', 12), chunk('c', 3)]);
    expect(fused[0]).toMatchObject({ id: 'a', score: 1 });
  });

  test('an exact name that full text is sure of beats a crowd of near neighbours', () => {
    const dense = [chunk('near1', 0.42), chunk('near2', 0.419), chunk('exact', 0.418), chunk('far', 0.2)];
    const lexical = [chunk('exact', 30), chunk('near2', 4), chunk('far', 3)];
    expect(ids(fuse(dense, lexical))[0]).toBe('exact');
  });

  test('a clear match by meaning beats a mere word', () => {
    const dense = [chunk('meaning', 0.8), chunk('word', 0.35), chunk('far', 0.3)];
    const lexical = [chunk('word', 5), chunk('meaning', 4.8), chunk('far', 4)];
    expect(ids(fuse(dense, lexical))[0]).toBe('meaning');
  });

  test('where one list found nothing, the other keeps its order', () => {
    const list = [chunk('a', 3), chunk('b', 2), chunk('c', 1)];
    expect(ids(fuse(list, []))).toEqual(['a', 'b', 'c']);
    expect(ids(fuse([], list))).toEqual(['a', 'b', 'c']);
    expect(fuse([], [])).toEqual([]);
  });

  test('one hit in a list counts in full', () => {
    expect(fuse([], [chunk('a', 7)])[0]?.score).toBeCloseTo(2 / 5, 12);
  });
});

const listArbitrary = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: -1_000, max: 1_000 })), {
    selector: ([id]) => id,
    maxLength: 20,
  })
  .map((pairs) =>
    pairs.map(([id, score]) => chunk(`c${id}`, score / 1_000)).sort((one, other) => other.score - one.score),
  );

describe('what always holds', () => {
  test('every chunk of either list is there once, best first, between 0 and 1', () => {
    fc.assert(
      fc.property(listArbitrary, listArbitrary, (dense, lexical) => {
        const fused = fuse(dense, lexical);
        expect(ids(fused).sort()).toEqual([...new Set([...ids(dense), ...ids(lexical)])].sort());
        for (const [index, { score }] of fused.entries()) {
          expect(score).toBeGreaterThanOrEqual(0);
          expect(score).toBeLessThanOrEqual(1 + 1e-12);
          expect(score).toBeLessThanOrEqual(fused[index - 1]?.score ?? Infinity);
        }
      }),
    );
  });

  test('a chunk that is at least as good in both lists never comes later', () => {
    fc.assert(
      fc.property(listArbitrary, listArbitrary, (dense, lexical) => {
        const scoreIn = (list: ScoredChunk[], id: string): number =>
          list.find((one) => one.id === id)?.score ?? -Infinity;
        const fused = fuse(dense, lexical);
        for (const [index, later] of fused.entries()) {
          for (const earlier of fused.slice(0, index)) {
            const better =
              scoreIn(dense, later.id) > scoreIn(dense, earlier.id) &&
              scoreIn(lexical, later.id) > scoreIn(lexical, earlier.id);
            // Only candidates that tie in the sum, both worst of a list or in none, may be the other way round.
            if (better) expect(later.score).toBeCloseTo(earlier.score, 9);
          }
        }
      }),
    );
  });

  test('the unit of a list’s scores does not matter', () => {
    fc.assert(
      fc.property(listArbitrary, listArbitrary, (dense, lexical) => {
        const scaled = lexical.map((one) => ({ ...one, score: one.score * 64 + 16 }));
        const [plain, other] = [fuse(dense, lexical), fuse(dense, scaled)];
        const scores = new Map(other.map(({ id, score }) => [id, score]));
        for (const { id, score } of plain) expect(scores.get(id)).toBeCloseTo(score, 9);
      }),
    );
  });

  test('a list of no weight adds its chunks and changes no order', () => {
    fc.assert(
      fc.property(listArbitrary, listArbitrary, (dense, lexical) => {
        const fused = fuse(dense, lexical, { dense: 1, lexical: 0 });
        const scores = fused.filter(({ id }) => ids(dense).includes(id)).map(({ id }) => scoreOf(dense, id));
        expect(scores).toEqual([...scores].sort((one, other) => other - one));
      }),
    );
    expect(DEFAULT_WEIGHTS.dense).toBeGreaterThan(DEFAULT_WEIGHTS.lexical);
  });
});

const scoreOf = (list: ScoredChunk[], id: string): number => list.find((one) => one.id === id)?.score ?? NaN;
