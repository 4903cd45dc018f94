import { BytePairEncoder } from './byte-pair-encoding.ts';
import { byteLevelFileSchema, frameOf, type ByteLevelFile } from './byte-level-file.ts';
import type { TextTokenizer } from './text-tokenizer.ts';

/**
 * Tokens before a cut that may be others in the whole text: those of an added token that the cut runs through (Qwen2's
 * longest has 20 characters), and the last ones of the word that it runs through. Nothing bounds the latter; of 500,000
 * words made to provoke it with Qwen2.5's merges, none had more than 5.
 */
const UNSURE_TOKENS = 64;

/** V8 copies words of up to 12 characters out of a text; a longer one would keep its whole text in memory. */
const LONGEST_KEPT_WORD = 12;
const MOST_KEPT_WORDS = 20_000;

/**
 * A byte-level BPE tokenizer like Qwen2's, from the content of a tokenizer.json: added tokens are taken out of the
 * text, the rest is brought to NFC and cut into words, and the bytes of each word are merged into tokens. Half a
 * surrogate pair counts as U+FFFD, which is what UTF-8 makes of it. Throws on a file that it would not read as Hugging
 * Face's tokenizers do. They know fewer accents: about 120 of rare scripts, newer than Unicode 9, are ordered otherwise.
 */
export function byteLevelTokenizer(json: unknown): TextTokenizer {
  const file = byteLevelFileSchema.parse(json);
  const added = new Map(file.added_tokens.map(({ content, id }) => [content, id]));
  const addedTokens = patternOf([...added.keys()]);
  const encodeWord = wordEncoder(file);
  const tokens = (text: string, enough: number): number[] => {
    const found: number[] = [];
    for (const { part, isAdded } of partsOf(text, addedTokens)) {
      if (isAdded) found.push(added.get(part) as number);
      // No spread: a word may have more tokens than a call takes arguments.
      else for (const token of encodeWord(part)) found.push(token);
      if (found.length >= enough) break;
    }
    return found;
  };
  return {
    tokens,
    ...frameOf(file),
    padId: file.padding?.pad_id ?? added.get('<|endoftext|>') ?? file.model.vocab['<|endoftext|>'] ?? 0,
    unsureTokens: UNSURE_TOKENS,
  };
}

/** Finds the longest one where several start at the same place, and nothing where there is none at all. */
function patternOf(contents: string[]): RegExp {
  const longestFirst = contents.toSorted((a, b) => b.length - a.length);
  const literally = longestFirst.map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`));
  return new RegExp(literally.join('|') || '(?!)', 'gu');
}

/** The text's added tokens and, between them, its words; one after the other, as they are asked for. */
function* partsOf(text: string, addedTokens: RegExp): Generator<{ part: string; isAdded: boolean }> {
  let start = 0;
  for (const { 0: part, index } of text.matchAll(addedTokens)) {
    yield* wordsOf(text.slice(start, index));
    yield { part, isAdded: true };
    start = index + part.length;
  }
  yield* wordsOf(text.slice(start));
}

/**
 * The pattern of byte-level-file.ts for JavaScript, whose own \s has U+FEFF too and lacks U+0085. The letters of the
 * endings are written out: Node 24 does not find `RE` with `(?i:re)`. U+017F, the long s, is an s to the reference.
 */
const WORDS = new RegExp(
  [
    String.raw`'(?:[sS\u017f]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])`,
    String.raw`[^\r\n\p{L}\p{N}]?\p{L}+`,
    String.raw`\p{N}`,
    String.raw` ?[^\p{White_Space}\p{L}\p{N}]+[\r\n]*`,
    String.raw`\p{White_Space}*[\r\n]+`,
    String.raw`\p{White_Space}+(?!\P{White_Space})`,
    String.raw`\p{White_Space}+`,
  ].join('|'),
  'gu',
);

function* wordsOf(text: string): Generator<{ part: string; isAdded: boolean }> {
  // Of more accents in a row at most 1,000 are ordered at once: the time that takes grows with their square.
  const normalized = text.replace(/\P{M}*\p{M}{0,1000}/gu, (stretch) => stretch.normalize('NFC'));
  for (const { 0: part } of normalized.matchAll(WORDS)) yield { part, isAdded: false };
}

function wordEncoder({ model }: ByteLevelFile): (word: string) => readonly number[] {
  const vocabulary = new Map(Object.entries(model.vocab));
  const idOf = (token: string): number => {
    const id = vocabulary.get(token);
    if (id === undefined) throw new Error(`the vocabulary lacks ${JSON.stringify(token)}`);
    return id;
  };
  const merges = model.merges.map((merge) => {
    const [left = '', right = ''] = typeof merge === 'string' ? merge.split(' ') : merge;
    return { left: idOf(left), right: idOf(right), merged: idOf(left + right) };
  });
  const encoder = new BytePairEncoder(byteCharacters().map(idOf), merges);
  const utf8 = new TextEncoder();
  const kept = new Map<string, readonly number[]>();
  return (word) => {
    const known = kept.get(word);
    if (known) return known;
    const tokens = encoder.encode(utf8.encode(word));
    if (word.length > LONGEST_KEPT_WORD) return tokens;
    if (kept.size >= MOST_KEPT_WORDS) kept.clear();
    kept.set(word, tokens);
    return tokens;
  };
}

/** The character that stands for each byte in a vocabulary: itself where it is printable, else one from U+0100 on. */
function byteCharacters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCharCode(isPrintable ? byte : next++);
  });
}
