import type { Fit } from '@embergate/routing/fit.ts';

/** How much more than one batch holds is looked at: so far a query may be overtaken by later ones that fit better. */
const WINDOW_BATCHES = 2;

/**
 * The next batch out of texts that wait, in order of arrival: the one that waits longest, and those nearest to it in
 * length, for as long as the padding that one more adds costs less than a batch of its own would.
 */
export function takeAlike<T extends { length: number }>(
  waiting: readonly T[],
  { mostPaddedTokens, fit }: { mostPaddedTokens: number; fit: Fit },
): T[] {
  const [oldest] = waiting;
  if (!oldest) return [];
  const near = withinTokens(waiting, WINDOW_BATCHES * mostPaddedTokens).sort((x, y) => x.length - y.length);
  let from = near.indexOf(oldest);
  let to = from + 1;
  for (;;) {
    const longest = near[to - 1]?.length ?? 0;
    const shorter = near[from - 1];
    const longer = near[to];
    const padsShorter = shorter ? longest - shorter.length : Infinity;
    const padsOthers = longer ? (longer.length - longest) * (to - from) : Infinity;
    const isShorter = padsShorter <= padsOthers;
    const padding = isShorter ? padsShorter : padsOthers;
    const computed = (isShorter ? longest : (longer?.length ?? 0)) * (to - from + 1);
    if (!(padding * fit.b <= fit.a) || computed > mostPaddedTokens) return near.slice(from, to);
    if (isShorter) from -= 1;
    else to += 1;
  }
}

/** From the front, one at least. */
function withinTokens<T extends { length: number }>(waiting: readonly T[], most: number): T[] {
  let tokens = 0;
  return waiting.filter(({ length }, at) => (tokens += length) <= most || at === 0);
}
