/** An API that asks for more is asked again all the same: who reads the header may have misread it, or it may change its mind. */
const MOST_MS = 60_000;

/**
 * @param header seconds, or an HTTP date.
 * @param now of the same clock as the date, in milliseconds.
 * @returns milliseconds from now, a minute at most; undefined where it says nothing.
 */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  const text = header?.trim() ?? '';
  // Date.parse takes a bare number for a year.
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now;
  return Number.isNaN(ms) ? undefined : Math.min(MOST_MS, Math.max(0, ms));
}
