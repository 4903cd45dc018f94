/** A batch costs what it is padded to, not what is in it. */
export const paddedTokens = (batch: readonly { length: number }[]): number =>
  batch.length * batch.reduce((longest, ids) => Math.max(longest, ids.length), 0);

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
