import type { Fit } from '@embergate/routing/fit.ts';

/** How much more than one batch holds is looked at: so far a query may be overtaken by later ones that fit better. */
const WINDOW_BATCHES = 2;
/** What a batch costs beside the model, in milliseconds: it crosses to another process and back. */
const BATCH_OVERHEAD_MS = 1;

interface TakeOptions<T> {
  /** One batch, in padded tokens. */
  most: number;
  fit: Fit;
  lengthOf: (text: T) => number;
}

/**
 * The next batch out of texts that wait, in order of arrival: the one that waits longest, and those nearest to it in
 * length, for as long as the padding that one more adds costs less than a batch of its own would.
 */
export function takeAlike<T>(waiting: readonly T[], { most, fit, lengthOf }: TakeOptions<T>): T[] {
  const [oldest] = waiting;
  if (oldest === undefined) return [];
  const near = withinTokens(waiting, WINDOW_BATCHES * most, lengthOf).sort(
    (x, y) => lengthOf(x) - lengthOf(y),
  );
  const lengthAt = (at: number): number | undefined => {
    const text = near[at];
    return text === undefined ? undefined : lengthOf(text);
  };
  const mostPadding = Math.max(fit.a, BATCH_OVERHEAD_MS);
  let from = near.indexOf(oldest);
  let to = from + 1;
  for (;;) {
    const longest = lengthAt(to - 1) ?? 0;
    const shorter = lengthAt(from - 1);
    const longer = lengthAt(to);
    const padsShorter = shorter === undefined ? Infinity : longest - shorter;
    const padsOthers = longer === undefined ? Infinity : (longer - longest) * (to - from);
    const isShorter = padsShorter <= padsOthers;
    const padding = Math.min(padsShorter, padsOthers);
    const computed = (isShorter ? longest : (longer ?? 0)) * (to - from + 1);
    if (padding === Infinity || padding * fit.b > mostPadding || computed > most) return near.slice(from, to);
    if (isShorter) from -= 1;
    else to += 1;
  }
}

/** From the front, one at least. */
function withinTokens<T>(waiting: readonly T[], most: number, lengthOf: (text: T) => number): T[] {
  let tokens = 0;
  const end = waiting.findIndex((text, at) => (tokens += lengthOf(text)) > most && at > 0);
  return waiting.slice(0, end === -1 ? undefined : end);
}
