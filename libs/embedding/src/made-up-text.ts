/** About one token in every vocabulary. */
const WORD = 'data ';
const SOME_TOKEN = 100;

/** A text of that many tokens, or about as many for a model that reads the text: what it says does not matter, what it takes does. */
export const madeUp = (tokens: number): { ids: Uint32Array; text: string } => ({
  ids: new Uint32Array(tokens).fill(SOME_TOKEN),
  text: WORD.repeat(tokens).trimEnd(),
});
