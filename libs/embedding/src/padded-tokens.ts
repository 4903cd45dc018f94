/** A batch costs what it is padded to, not what is in it. */
export const paddedTokens = (batch: readonly { length: number }[]): number =>
  batch.length * batch.reduce((longest, ids) => Math.max(longest, ids.length), 0);

/** What a decoder computes: each text alone, and nothing again of the prefix that it begins with. */
export const tokensAfterPrefixes = (
  batch: readonly Uint32Array[],
  prefixes: readonly Uint32Array[],
): number => batch.reduce((sum, ids) => sum + ids.length - (prefixOf(ids, prefixes)?.length ?? 0), 0);

/** The longest that the text begins with. Its last token is never in it: there would be nothing left to compute. */
export const prefixOf = (text: Uint32Array, prefixes: readonly Uint32Array[]): Uint32Array | undefined =>
  prefixes
    .filter((ids) => ids.length < text.length && ids.every((id, at) => text[at] === id))
    .sort((x, y) => y.length - x.length)[0];

/** How many texts from the front fit a budget of padded tokens; one at least, where there is one. */
export function countThatFits(batch: readonly { length: number }[], budget: number): number {
  let longest = 0;
  let count = 0;
  for (const { length } of batch) {
    longest = Math.max(longest, length);
    if (count > 0 && longest * (count + 1) > budget) break;
    count += 1;
  }
  return count;
}
