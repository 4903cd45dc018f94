import * as library from '@huggingface/tokenizers';
import { z } from 'zod';
import type { TextTokenizer } from './text-tokenizer.ts';

/** What is used of the library's tokenizer. */
export interface LibraryTokenizer {
  encode: (text: string, options?: { add_special_tokens?: boolean }) => { ids: number[] };
}

// The library's declarations import each other without file endings, which Node's module rules do not resolve.
const { Tokenizer } = library as unknown as {
  Tokenizer: new (tokenizerFile: unknown, config: object) => LibraryTokenizer;
};

/** A tokenizer out of the content of a tokenizer.json. Throws what the library throws on a wrong one. */
export function createLibraryTokenizer(tokenizerFile: unknown): LibraryTokenizer {
  return new Tokenizer(tokenizerFile, {});
}

const wordPieceFileSchema = z.object({
  model: z.object({
    vocab: z.record(z.string(), z.int().nonnegative()),
    max_input_chars_per_word: z.int().positive().default(100),
  }),
  /** Its lengths are those of whoever saved the file; only the id is taken. */
  padding: z.object({ pad_id: z.int().nonnegative() }).nullish(),
});

/** Tokens that a special token such as `[MASK]` may come to when the cut runs through it. */
const SPLIT_SPECIAL_TOKENS = 10;

/** A WordPiece tokenizer like BERT's, from the content of a tokenizer.json. Throws on a file of another kind. */
export function wordPieceTokenizer(json: unknown): TextTokenizer {
  const { model, padding } = wordPieceFileSchema.parse(json);
  const tokenizer = createLibraryTokenizer(json);
  return {
    tokens: (text) => tokenizer.encode(text, { add_special_tokens: false }).ids,
    ...specialTokens(tokenizer),
    padId: padding?.pad_id ?? model.vocab['[PAD]'] ?? 0,
    // A word that the cut runs through may give other tokens than the whole word, but at most one a character.
    unsureTokens: model.max_input_chars_per_word + SPLIT_SPECIAL_TOKENS,
  };
}

/** What the model wants around a text: [CLS] and [SEP] for BERT. */
function specialTokens(tokenizer: LibraryTokenizer): { before: number[]; after: number[] } {
  const bare = tokenizer.encode('a', { add_special_tokens: false }).ids;
  const framed = tokenizer.encode('a').ids;
  const before = framed.indexOf(bare[0] ?? -1);
  return { before: framed.slice(0, before), after: framed.slice(before + bare.length) };
}
