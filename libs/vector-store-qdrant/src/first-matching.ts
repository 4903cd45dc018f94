import { matchesPathGlob, type PathGlob } from '@embergate/vector-store/path-glob.ts';

const FIRST_SIZE = 256;
const GROWTH = 4;

/**
 * The first `limit` hits of a ranking whose path matches a glob that the store can't evaluate. Asks for more of the
 * ranking until there are enough or it ends: a rare match far down is found, at the price of reading so far. Each time
 * from the top, since hits of equal score come in another order in another answer, and would be missed between pages.
 */
export async function firstMatching<T extends { path: string }>(
  glob: PathGlob,
  limit: number,
  readTop: (size: number) => Promise<T[]>,
): Promise<T[]> {
  for (let size = FIRST_SIZE; ; size *= GROWTH) {
    const top = await readTop(size);
    const found = top.filter(({ path }) => matchesPathGlob(glob, path));
    if (found.length >= limit || top.length < size) return found.slice(0, limit);
  }
}
