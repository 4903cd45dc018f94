import * as library from '@huggingface/tokenizers';

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
