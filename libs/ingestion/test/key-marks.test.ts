import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isKey, KeyMarks } from '../src/key-marks.ts';

/** Few first words, so that many keys want the same place. */
const key = fc
  .tuple(fc.integer({ min: 0, max: 40 }), fc.bigInt({ min: 0n, max: 2n ** 96n - 1n }))
  .map(([first, rest]) => first.toString(16).padStart(8, '0') + rest.toString(16).padStart(24, '0'));
const step = fc.record({
  does: fc.constantFrom('add', 'remove', 'clear'),
  key,
  mark: fc.constantFrom(1, 2, 4),
  tag: fc.integer({ min: 0, max: 65_535 }),
});

describe('marks of keys', () => {
  it('are those that a map of numbers would hold, whatever is done and however many there are', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 3_000, size: 'max' }), (steps) => {
        const marks = new KeyMarks();
        const expected = new Map<string, number>();
        for (const { does, key: one, mark, tag } of steps) {
          const before = expected.get(one) ?? 0;
          if (does === 'add') {
            expect(marks.add(one, mark, tag)).toBe((before & mark) === 0);
            expected.set(one, before | mark);
            if ((before & mark) === 0) expect(marks.tagOf(one)).toBe(tag);
          } else if (does === 'remove') {
            expect(marks.remove(one, mark)).toBe((before & mark) !== 0);
            if (before !== 0) expected.set(one, before & ~mark);
          } else {
            marks.clear(mark);
            for (const [other, all] of expected) expected.set(other, all & ~mark);
          }
        }
        expect(new Map(Array.from(marks.entries(), ({ key: one, marks: all }) => [one, all]))).toEqual(
          expected,
        );
      }),
      { numRuns: 30 },
    );
  });

  it('are kept for 20,000 keys, and none is taken for another', () => {
    const marks = new KeyMarks();
    const keyOf = (n: number): string => createHash('md5').update(String(n)).digest('hex');
    for (let n = 0; n < 20_000; n++) expect(marks.add(keyOf(n), 1, n % 1_000)).toBe(true);
    for (let n = 0; n < 20_000; n++) {
      expect(marks.has(keyOf(n), 1)).toBe(true);
      expect(marks.has(keyOf(n), 2)).toBe(false);
      expect(marks.tagOf(keyOf(n))).toBe(n % 1_000);
      expect(marks.has(keyOf(n + 20_000), 1)).toBe(false);
    }
  });

  it('are for keys of 32 hexadecimal digits, as chunks have them', () => {
    expect(isKey('0123456789abcdef0123456789abcdef')).toBe(true);
    for (const other of [
      '',
      'row-1',
      '0123456789ABCDEF0123456789ABCDEF',
      '0123456789abcdef0123456789abcdef0',
    ])
      expect(isKey(other)).toBe(false);
  });
});
