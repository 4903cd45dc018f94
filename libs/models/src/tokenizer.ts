import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { AppError } from '@embergate/contracts/errors.ts';
import { createLibraryTokenizer, type LibraryTokenizer } from './tokenizer-library.ts';

export interface EncodedText {
  /** Special tokens included, at most maxTokens. */
  ids: Uint32Array;
  /** True where the end of the text is not in `ids`. */
  truncated: boolean;
}

export interface Tokenizer {
  /** Never throws, whatever the text; a text of any length costs some milliseconds at most. */
  encode: (text: string) => EncodedText;
  /** Fills the right of a shorter text in a batch. */
  padId: number;
}

const tokenizerFileSchema = z.object({
  model: z.object({
    type: z.literal('WordPiece', { error: 'only WordPiece is supported' }),
    vocab: z.record(z.string(), z.int().nonnegative()),
    max_input_chars_per_word: z.int().positive().default(100),
  }),
  /** Its lengths are those of whoever saved the file; only the id is taken. */
  padding: z.object({ pad_id: z.int().nonnegative() }).nullish(),
});

/** What is read first: code has 2 to 4 characters a token, so this is mostly enough. */
const FIRST_CHARACTERS_PER_TOKEN = 8;
/** What is read at most. Only a text whose words are longer than WordPiece takes (each is one unknown token) has more. */
const MAX_CHARACTERS_PER_TOKEN = 128;
/** Tokens that a special token such as `[MASK]` may come to when the cut runs through it. */
const SPLIT_SPECIAL_TOKENS = 10;

/**
 * Reads a tokenizer.json. `maxTokens` counts special tokens; longer texts lose their end, never their special tokens.
 * Errors: `model_damaged`.
 */
export async function loadTokenizer(path: string, options: { maxTokens: number }): Promise<Tokenizer> {
  const { file, library } = await readTokenizer(path);
  const frame = specialTokens(library);
  const room = options.maxTokens - frame.before.length - frame.after.length;
  // A word that the cut runs through may give other tokens than the whole word, but at most one a character.
  const enough = room + file.model.max_input_chars_per_word + SPLIT_SPECIAL_TOKENS;
  const encode = (text: string): EncodedText => {
    const { tokens, complete } = encodeStart(library, text, { enough, maxTokens: options.maxTokens });
    const ids = Uint32Array.from([...frame.before, ...tokens.slice(0, room), ...frame.after]);
    return { ids, truncated: !complete || tokens.length > room };
  };
  return { encode, padId: file.padding?.pad_id ?? file.model.vocab['[PAD]'] ?? 0 };
}

async function readTokenizer(path: string) {
  try {
    const json: unknown = JSON.parse(await readFile(path, 'utf8'));
    const file = tokenizerFileSchema.parse(json);
    return { file, library: createLibraryTokenizer(json) };
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new AppError('model_damaged', `${path} is no tokenizer that can be used: ${why}`, { cause: error });
  }
}

/** What the model wants around a text: [CLS] and [SEP] for BERT. */
function specialTokens(library: LibraryTokenizer): { before: number[]; after: number[] } {
  const bare = library.encode('a', { add_special_tokens: false }).ids;
  const framed = library.encode('a').ids;
  const before = framed.indexOf(bare[0] ?? -1);
  return { before: framed.slice(0, before), after: framed.slice(before + bare.length) };
}

/** The tokens of as much of the text's start as gives `enough` of them; twice as much is read until it does. */
function encodeStart(
  library: LibraryTokenizer,
  text: string,
  options: { enough: number; maxTokens: number },
): { tokens: number[]; complete: boolean } {
  const most = options.maxTokens * MAX_CHARACTERS_PER_TOKEN;
  for (let length = options.maxTokens * FIRST_CHARACTERS_PER_TOKEN; ; length *= 2) {
    const complete = text.length <= length;
    // A surrogate pair that is cut in two loses its first half, which the normaliser drops.
    const tokens = library.encode(text.slice(0, length), { add_special_tokens: false }).ids;
    if (complete || tokens.length >= options.enough || length >= most) return { tokens, complete };
  }
}
