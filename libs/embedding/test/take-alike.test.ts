import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countThatFits, paddedTokens } from '../src/padded-tokens.ts';
import { takeAlike } from '../src/take-alike.ts';

const bounds = { most: 500, fit: { a: 15, b: 0.4 }, lengthOf: ({ length }: { length: number }) => length };
const texts = (...lengths: number[]): { length: number }[] => lengths.map((length) => ({ length }));
const lengthsOf = (batch: readonly { length: number }[]): number[] => batch.map(({ length }) => length);

describe('a batch of texts that are alike', () => {
  it('has the one that waits longest, and those that pad little beside it', () => {
    const waiting = texts(20, 60, 22, 5, 58, 19);
    expect(lengthsOf(takeAlike(waiting, bounds))).toEqual([5, 19, 20, 22]);
    expect(lengthsOf(takeAlike(waiting.slice(1), bounds))).toEqual([58, 60]);
  });

  it('is empty where nobody waits', () => {
    expect(takeAlike([], bounds)).toEqual([]);
  });

  it('never leaves the oldest behind, fits its bound, and has each text once', () => {
    const anyTexts = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(anyTexts, (lengths) => {
        const waiting = texts(...lengths);
        const batch = takeAlike(waiting, bounds);
        expect(batch).toContain(waiting[0]);
        expect(new Set(batch).size).toBe(batch.length);
        expect(batch.every((text) => waiting.includes(text))).toBe(true);
        if (batch.length > 1) expect(paddedTokens(batch)).toBeLessThanOrEqual(bounds.most);
      }),
    );
  });

  it('computes far fewer tokens for nothing than batches in order of arrival', () => {
    const lengths = Array.from({ length: 300 }, (_, at) => 5 + ((at * 37) % 56));
    const computed = (take: (waiting: { length: number }[]) => { length: number }[]): number => {
      let waiting = texts(...lengths);
      let tokens = 0;
      while (waiting.length > 0) {
        const batch = new Set(take(waiting));
        tokens += paddedTokens([...batch]);
        waiting = waiting.filter((text) => !batch.has(text));
      }
      return tokens;
    };
    const real = lengths.reduce((sum, length) => sum + length, 0);
    const inOrder = computed((waiting) => waiting.slice(0, countThatFits(waiting, bounds.most)));
    const alike = computed((waiting) => takeAlike(waiting, bounds));
    expect(inOrder).toBeGreaterThan(1.6 * real);
    expect(alike).toBeLessThan(1.35 * real);
  });
});
