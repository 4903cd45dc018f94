import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { loadTokenizer, type Tokenizer } from '../src/tokenizer.ts';
import { createLibraryTokenizer, type LibraryTokenizer } from '../src/tokenizer-library.ts';
import { realModel, referenceFile } from './real-model.ts';
import { LONG_TEXTS, type LongText } from './long-texts.ts';

const MAX_TOKENS = 256;
const [CLS, SEP] = [101, 102];
let path: string;
let tokenizer: Tokenizer;
let library: LibraryTokenizer;
beforeAll(async () => {
  path = (await realModel()).tokenizerPath;
  tokenizer = await loadTokenizer(path, { maxTokens: MAX_TOKENS });
  library = createLibraryTokenizer(JSON.parse(await readFile(path, 'utf8')));
});

test('texts become the ids that the reference tokenizer gives them', async () => {
  const goldens = JSON.parse(await readFile(referenceFile, 'utf8')) as { text: string; ids: number[] }[];
  for (const { text, ids } of goldens) expect([...tokenizer.encode(text).ids], text).toEqual(ids);
});

test('a long text keeps its start and both special tokens, and says that it was cut', () => {
  const { ids, truncated } = tokenizer.encode('retry '.repeat(1000));
  expect(ids).toHaveLength(MAX_TOKENS);
  expect([ids[0], ids.at(-1)]).toEqual([CLS, SEP]);
  expect(truncated).toBe(true);
});

test('the last text that fits is not called cut, the next one is', () => {
  expect(tokenizer.encode('a '.repeat(MAX_TOKENS - 2)).truncated).toBe(false);
  expect(tokenizer.encode('a '.repeat(MAX_TOKENS - 1)).truncated).toBe(true);
});

test('an empty text is its special tokens', () => {
  expect(tokenizer.encode('')).toEqual({ ids: Uint32Array.of(CLS, SEP), truncated: false });
  expect(tokenizer.padId).toBe(0);
});

test('reading only the start of a text changes no id', () => {
  const word = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.constantFrom(
      'getHTTPResponse',
      '__init__',
      '[MASK]',
      '漢字仮名',
      '😀',
      'Σίσυφος',
      'e\u0301',
      '\0',
      'x'.repeat(101),
    ),
  );
  const space = fc.constantFrom(' ', '\n', '\r\n', '\t', '', '\u3000', '\u00a0', '.');
  const text = fc
    .array(fc.tuple(word, space), { minLength: 200, maxLength: 600 })
    .map((parts) => parts.flat().join(''));
  fc.assert(
    fc.property(text, (sample) => {
      const whole = library.encode(sample).ids;
      const kept = whole.length > MAX_TOKENS ? [...whole.slice(0, MAX_TOKENS - 1), SEP] : whole;
      const { ids, truncated } = tokenizer.encode(sample);
      expect([...ids]).toEqual(kept);
      expect(truncated).toBe(whole.length > MAX_TOKENS);
    }),
    // Shrinking texts of this size takes minutes and their start says enough.
    { numRuns: 60, endOnFailure: true },
  );
});

test('a cut that runs through a word, an emoji or a special token changes no id', () => {
  for (const word of ['internationalization ', '😀漢', '[MASK]', 'ﬃ ', 'Σς.']) {
    for (let shift = 0; shift < 24; shift++) {
      const text = ' '.repeat(shift) + word.repeat(3000);
      const whole = library.encode(text).ids;
      const kept = whole.length > MAX_TOKENS ? [...whole.slice(0, MAX_TOKENS - 1), SEP] : whole;
      expect([...tokenizer.encode(text).ids], word).toEqual(kept);
    }
  }
});

test.each<LongText>([
  ['one word of a million letters', 'a'.repeat(1e6)],
  ...LONG_TEXTS,
  ['ligatures that unfold into many letters', '\ufdfa'.repeat(1e6)],
])('%s cost milliseconds and give ids of the vocabulary', (_what, text) => {
  const cpuMs = () => {
    const before = process.cpuUsage();
    tokenizer.encode(text);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  // 1 to 13 ms on two quiet cores, mostly 100 to 1,000 without the cut. Processor time, as the machine may be busy.
  expect(Math.min(cpuMs(), cpuMs(), cpuMs())).toBeLessThan(80);
  const { ids, truncated } = tokenizer.encode(text);
  expect(truncated).toBe(true);
  expect(ids.length).toBeLessThanOrEqual(MAX_TOKENS);
  expect(Math.max(...ids)).toBeLessThan(30_522);
});

test('a damaged tokenizer file is refused by name', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'embergate-tokenizer-'));
  try {
    const other = join(folder, 'tokenizer.json');
    const text = await readFile(path, 'utf8');
    for (const content of [
      text.slice(0, 9_000),
      '{}',
      '[]',
      text.replace('"type":"WordPiece"', '"type":"BPE"').replace('"type": "WordPiece"', '"type": "BPE"'),
    ]) {
      await writeFile(other, content);
      await expect(loadTokenizer(other, { maxTokens: 8 })).rejects.toMatchObject({ code: 'model_damaged' });
    }
    await expect(loadTokenizer(join(folder, 'none'), { maxTokens: 8 })).rejects.toThrow(
      /none is no tokenizer/,
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe('the beginning of a text that a model reads', () => {
  const long = [
    'for item in range(10): total += item * 2\n'.repeat(200),
    '関数は配列をソートする。'.repeat(100),
    '🚀👩‍👩‍👧‍👦 '.repeat(300),
    'supercalifragilistic'.repeat(200),
  ];

  it('is all of a short one', () => {
    for (const text of ['', 'x', 'def add(a, b):\n    return a + b\n'])
      expect(tokenizer.beginning(text)).toBe(text);
  });

  it.each(long)('is cut where the tokens end: %.20s', (text) => {
    const beginning = tokenizer.beginning(text);
    const { ids, truncated } = tokenizer.encode(beginning);
    expect(text.startsWith(beginning)).toBe(true);
    expect(truncated).toBe(false);
    expect(beginning.isWellFormed()).toBe(true);
    const all = tokenizer.encode(text).ids;
    // The last word may be split otherwise where it ends; special tokens are the same.
    const same = ids.findIndex((id, at) => id !== all[at]);
    if (all.length > 8) expect(same === -1 || same > all.length - 8).toBe(true);
  });
});
