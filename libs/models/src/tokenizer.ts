import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { AppError } from '@embergate/contracts/errors.ts';
import { byteLevelTokenizer } from './byte-level-tokenizer.ts';
import type { TextTokenizer } from './text-tokenizer.ts';
import { wordPieceTokenizer } from './tokenizer-library.ts';

export interface EncodedText {
  /** Special tokens included, at most maxTokens. */
  ids: Uint32Array;
  /** True where the end of the text is not in `ids`. */
  truncated: boolean;
}

export interface Tokenizer {
  /** Never throws, whatever the text; what it costs depends on `maxTokens`, not on how long the text is. */
  encode: (text: string) => EncodedText;
  /** As much of the text as `encode` reads, whole characters: for whoever tokenizes it with another limit. Costs a dozen times as much. */
  beginning: (text: string) => string;
  /** Fills the right of a shorter text in a batch. */
  padId: number;
}

const kindSchema = z.object({
  model: z.object({
    type: z.enum(['WordPiece', 'BPE'], { error: 'only WordPiece and byte-level BPE are supported' }),
  }),
});
const KINDS = { WordPiece: wordPieceTokenizer, BPE: byteLevelTokenizer };

/** What is read first: code has 2 to 4 characters a token, so this is mostly enough. */
const FIRST_CHARACTERS_PER_TOKEN = 8;
/** No token of Qwen2 is longer. With WordPiece only texts of words longer than it takes have more for one token. */
const MOST_CHARACTERS_PER_TOKEN = 128;
/** Nor is more read than this, which a crafted text makes cost a second: `=` a million times, in a context of 32,768. */
const MOST_CHARACTERS = 2 ** 20;

/**
 * Reads a tokenizer.json of WordPiece (BERT) or byte-level BPE (Qwen2). `maxTokens` counts special tokens; longer
 * texts lose their end, never their special tokens. Errors: `model_damaged`.
 */
export async function loadTokenizer(path: string, options: { maxTokens: number }): Promise<Tokenizer> {
  const { maxTokens } = options;
  const tokenizer = await readTokenizer(path);
  const { before, after, padId } = tokenizer;
  const room = maxTokens - before.length - after.length;
  const encode = (text: string): EncodedText => {
    const { tokens, complete } = encodeStart(tokenizer, text, { room, maxTokens });
    const ids = Uint32Array.from([...before, ...tokens.slice(0, room), ...after]);
    return { ids, truncated: !complete || tokens.length > room };
  };
  return { encode, beginning: (text) => longestWhole(text, encode), padId };
}

/** The longest start of the text that is not truncated, found by halving. */
function longestWhole(text: string, encode: (text: string) => EncodedText): string {
  if (!encode(text).truncated) return text;
  let fits = 0;
  let tooLong = text.length;
  while (tooLong - fits > 1) {
    const middle = Math.floor((fits + tooLong) / 2);
    if (encode(text.slice(0, middle)).truncated) tooLong = middle;
    else fits = middle;
  }
  const isHalfPair = /[\ud800-\udbff]/.test(text.charAt(fits - 1));
  return text.slice(0, isHalfPair ? fits - 1 : fits);
}

async function readTokenizer(path: string): Promise<TextTokenizer> {
  try {
    const json: unknown = JSON.parse(await readFile(path, 'utf8'));
    return KINDS[kindSchema.parse(json).model.type](json);
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new AppError('model_damaged', `${path} is no tokenizer that can be used: ${why}`, { cause: error });
  }
}

/** The tokens of as much of the text's start as surely gives `room` of them; twice as much is read until it does. */
function encodeStart(
  tokenizer: TextTokenizer,
  text: string,
  options: { room: number; maxTokens: number },
): { tokens: number[]; complete: boolean } {
  const enough = options.room + tokenizer.unsureTokens;
  const most = Math.min(options.maxTokens * MOST_CHARACTERS_PER_TOKEN, MOST_CHARACTERS);
  for (let length = options.maxTokens * FIRST_CHARACTERS_PER_TOKEN; ; length *= 2) {
    const complete = text.length <= length;
    const tokens = tokenizer.tokens(complete ? text : text.slice(0, cutBefore(text, length)), enough);
    if (complete || tokens.length >= enough || length >= most) return { tokens, complete };
  }
}

/**
 * Where to cut: not after half a surrogate pair, nor in a run of spaces or accents, as its end decides how its start is
 * split or ordered. Only a run that is half of what is read is cut all the same.
 */
function cutBefore(text: string, length: number): number {
  let end = length;
  while (end > length / 2 && /[\s\p{M}\ud800-\udbff]/u.test(text.charAt(end - 1))) end--;
  return end > length / 2 ? end : length;
}
