/** Tokenizes texts as one kind of tokenizer.json asks, without cutting any. */
export interface TextTokenizer {
  /** The text's tokens, without special ones around it; it may stop when it has `enough`. */
  tokens: (text: string, enough: number) => number[];
  /** Special tokens that the model wants around a text. */
  before: number[];
  after: number[];
  padId: number;
  /** How many of the last tokens may be others when the text goes on. */
  unsureTokens: number;
}
