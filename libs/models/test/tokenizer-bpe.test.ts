import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { byteLevelTokenizer } from '../src/byte-level-tokenizer.ts';
import { loadTokenizer, type Tokenizer } from '../src/tokenizer.ts';
import { LONG_TEXTS, type LongText } from './long-texts.ts';

/** A tokenizer like Qwen2's, and what Hugging Face's makes of these texts with it: see bpe_reference.py. */
const reference = (name: string) => join(import.meta.dirname, 'reference', name);
const path = reference('bpe-tokenizer.json');
interface Golden {
  text: string;
  /** How often the text is repeated. */
  times?: number;
  ids: number[];
  endedIds: number[];
}
interface Goldens {
  endingPostProcessor: unknown;
  texts: Golden[];
  maxTokens: number;
  cut: Golden[];
}
interface TokenizerFile {
  [part: string]: unknown;
  added_tokens: { content: string; id: number }[];
  model: { vocab: Record<string, number>; merges: unknown[] };
}

const CONTEXT = 32_768;
let folder: string;
let file: TokenizerFile;
let goldens: Goldens;
let tokenizer: Tokenizer;
let ending: Tokenizer;
let end: number;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'embergate-tokenizer-'));
  file = JSON.parse(await readFile(path, 'utf8'));
  goldens = JSON.parse(await readFile(reference('bpe-goldens.json'), 'utf8'));
  end = file.added_tokens.find(({ content }) => content === '<|endoftext|>')?.id as number;
  tokenizer = await loadTokenizer(path, { maxTokens: CONTEXT });
  ending = await load({ post_processor: goldens.endingPostProcessor }, CONTEXT);
});
afterAll(() => rm(folder, { recursive: true }));

/** The small tokenizer with some of its file's parts changed. */
async function load(parts: Record<string, unknown>, maxTokens: number): Promise<Tokenizer> {
  const changed = join(folder, 'tokenizer.json');
  await writeFile(changed, JSON.stringify({ ...file, ...parts }));
  return loadTokenizer(changed, { maxTokens });
}

test('texts become the ids that the reference tokenizer gives them', () => {
  for (const { text, ids } of goldens.texts) expect([...tokenizer.encode(text).ids], text).toEqual(ids);
});

test('a model that wants an end token gets it after each text, as its own file says', () => {
  for (const { text, endedIds } of goldens.texts) {
    expect([...ending.encode(text).ids], text).toEqual(endedIds);
    expect(endedIds.at(-1)).toBe(end);
  }
  expect([...ending.encode('').ids]).toEqual([end]);
  expect(tokenizer.encode('')).toEqual({ ids: new Uint32Array(), truncated: false });
});

test('a long text is cut where the reference tokenizer cuts it, and keeps its end token', async () => {
  const { maxTokens, cut, endingPostProcessor } = goldens;
  const short = await load({}, maxTokens);
  const shortEnding = await load({ post_processor: endingPostProcessor }, maxTokens);
  for (const { text, times = 1, ids, endedIds } of cut) {
    const long = text.repeat(times);
    expect([...short.encode(long).ids], text).toEqual(ids);
    expect([...shortEnding.encode(long).ids], text).toEqual(endedIds);
    expect(short.encode(long).truncated, text).toBe(true);
    expect(endedIds.at(-1)).toBe(end);
  }
});

test('the last text that fits is not called cut, the next one is', async () => {
  const short = await load({ post_processor: goldens.endingPostProcessor }, 16);
  expect(short.encode('1'.repeat(15))).toMatchObject({ truncated: false });
  expect(short.encode('1'.repeat(16))).toMatchObject({ truncated: true });
});

test('where one added token begins with another, the longer one is meant', async () => {
  const longer = { id: 700, content: '<|im_start|>user' };
  const { encode } = await load({ added_tokens: [...file.added_tokens, longer] }, 8);
  expect([...encode('<|im_start|>user').ids]).toEqual([700]);
});

test('reading only the start of a text changes no id', async () => {
  const maxTokens = 64;
  const short = await load({}, maxTokens);
  const whole = byteLevelTokenizer(file);
  const word = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.constantFrom(
      'nationalization',
      '<|im_start|>',
      '<|im_',
      '漢字',
      '😀',
      'ᄒ\u1161\u11ab',
      'e\u0301',
      '\0',
      '==',
    ),
    fc
      .tuple(fc.constantFrom('a', '漢', '=', '😀', ' ', '\u0301'), fc.nat(80))
      .map(([sign, n]) => sign.repeat(n)),
  );
  const space = fc.constantFrom(' ', '\n', '\r\n', '\t', '', '', '', '\u3000', '\u00a0', '.');
  const text = fc.array(fc.tuple(word, space), { minLength: 60, maxLength: 300 });
  fc.assert(
    fc.property(text, (parts) => {
      const sample = parts.flat().join('');
      const tokens = whole.tokens(sample, Infinity);
      const { ids, truncated } = short.encode(sample);
      expect([...ids]).toEqual(tokens.slice(0, maxTokens));
      expect(truncated).toBe(tokens.length > maxTokens);
    }),
    { numRuns: 200, endOnFailure: true },
  );
});

test('a cut that runs through a word, an emoji or a special token changes no id', async () => {
  const maxTokens = 64;
  const short = await load({}, maxTokens);
  const whole = byteLevelTokenizer(file);
  for (const word of [
    'internationalization',
    '😀漢',
    '<|im_start|>',
    'e\u0301\u0323',
    ' \n  ',
    '\r\n',
    '==..',
  ]) {
    for (let shift = 0; shift < 24; shift++) {
      const text = 'x'.repeat(shift) + word.repeat(1000);
      const tokens = whole.tokens(text, Infinity).slice(0, maxTokens);
      expect([...short.encode(text).ids], word).toEqual(tokens);
    }
  }
});

/** Processor time, as the machine may be busy. */
function cpuMs(run: () => unknown): number {
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

test.each<LongText>([
  ['one word of a million letters', 'nationalization'.repeat(7e4)],
  ...LONG_TEXTS,
  ['a million empty lines', ' \n'.repeat(5e5)],
  ['special tokens', '<|im_start|>'.repeat(8e4)],
])('%s cost what the context costs, not what the text would', async (_what, text) => {
  const short = await load({}, 256);
  const encode = () => short.encode(text);
  expect(Math.min(cpuMs(encode), cpuMs(encode), cpuMs(encode))).toBeLessThan(80);
  const { ids, truncated } = short.encode(text);
  expect(truncated).toBe(true);
  expect(ids.length).toBeLessThanOrEqual(256);
  expect(Math.max(...ids)).toBeLessThanOrEqual(end + 2);
});

test.each([
  ['a line of 100,000 characters without a space', 'nationalization'.repeat(7e3)],
  ['accents that are to be ordered', 'e' + '\u0301\u0323'.repeat(6e4)],
])('in a long context %s cost no second', (_what, text) => {
  expect(
    Math.min(
      cpuMs(() => tokenizer.encode(text)),
      cpuMs(() => tokenizer.encode(text)),
    ),
  ).toBeLessThan(800);
});

test('a shorter text in a batch is filled up with the token the file names, else with the end of a text', async () => {
  expect(tokenizer.padId).toBe(end);
  expect((await load({ padding: { pad_id: 7 } }, 8)).padId).toBe(7);
  expect((await load({ added_tokens: [] }, 8)).padId).toBe(0);
});

test('a tokenizer that would be read otherwise than by the reference is refused by name', async () => {
  const { model, added_tokens: added } = file;
  const changes: [RegExp, Record<string, unknown>][] = [
    [/only WordPiece and byte-level BPE/, { model: { type: 'Unigram', vocab: [['a', 0]] } }],
    [/byte_fallback is not supported/, { model: { ...model, byte_fallback: true } }],
    [/the vocabulary lacks "a"/, { model: { ...model, vocab: { ...model.vocab, a: undefined } } }],
    [/the vocabulary lacks "qq"/, { model: { ...model, merges: [...model.merges, ['q', 'q']] } }],
    [/only NFC is supported/, { normalizer: { type: 'NFKC' } }],
    [/only Qwen2's/, { pre_tokenizer: { type: 'ByteLevel' } }],
    [/lstrip is not supported/, { added_tokens: [{ ...added[0], lstrip: true }] }],
    [/only ByteLevel and TemplateProcessing/, { post_processor: { type: 'RobertaProcessing' } }],
  ];
  for (const [why, parts] of changes) {
    const refused = load(parts, 8);
    await expect(refused).rejects.toThrow(why);
    await expect(refused).rejects.toMatchObject({ code: 'model_damaged' });
  }
});
