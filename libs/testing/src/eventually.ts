/**
 * Waits until `look` returns something other than undefined, false or null, asking often.
 * For what has no event to wait for: another process's end, a file, a state behind HTTP.
 *
 * @throws Error that names what was waited for, with the last failure of `look` as its cause.
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  timeoutMs = 20_000,
): Promise<T> {
  const until = performance.now() + timeoutMs;
  let cause: unknown;
  while (performance.now() < until) {
    try {
      const found = await look();
      if (found !== undefined && found !== null && found !== false) return found;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause });
}
