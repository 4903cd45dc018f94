/** So few paths are all likely. */
const FEW = 64;
/** Of more, neighbours that are looked at on each side of where a path would stand. */
const NEIGHBOURS = 8;

interface SortedPaths {
  /** What the paths are sorted by. */
  keyOf: (path: string) => string;
  entries: { key: string; path: string }[];
}

/**
 * Of many paths those that a file may have had before it got a given one. Paths that share most of an end stand side by side when all are
 * sorted from their last character (a folder was moved), those that share most of a beginning when they are sorted as they are (a file got
 * another name), and those of one file name when they are sorted by that first (a folder in between got another name). So a path is compared
 * with 64 others at most, whatever their number.
 */
export class LikePaths {
  /** Of those that a file may have had at a path, some. */
  readonly #near: (path: string) => readonly string[];

  constructor(paths: Iterable<string>) {
    const all = [...paths];
    const sortings =
      all.length <= FEW ? [] : [reversed, asItIs, nameFirst].map((keyOf) => sorted(all, keyOf));
    this.#near = (path) => (sortings.length === 0 ? all : sortings.flatMap((by) => neighbours(by, path)));
  }

  /** @returns some, the likeliest first. */
  of(path: string): string[] {
    return [...new Set(this.#near(path))]
      .map((other) => ({ other, changed: changedSegments(path, other), shared: sharedLength(path, other) }))
      .sort(
        (one, other) =>
          one.changed - other.changed || other.shared - one.shared || byCodeUnits(one.other, other.other),
      )
      .map(({ other }) => other);
  }
}

const byCodeUnits = (one: string, other: string): number => (one < other ? -1 : Number(one > other));

const asItIs = (path: string): string => path;

/** By code units: half of a pair is put back by reversing once more. */
const reversed = (path: string): string => path.split('').reverse().join('');

const nameFirst = (path: string): string => `${path.slice(path.lastIndexOf('/') + 1)}/${path}`;

const sorted = (paths: readonly string[], keyOf: SortedPaths['keyOf']): SortedPaths => ({
  keyOf,
  entries: paths
    .map((path) => ({ key: keyOf(path), path }))
    .sort((one, other) => byCodeUnits(one.key, other.key)),
});

function neighbours({ keyOf, entries }: SortedPaths, path: string): string[] {
  const key = keyOf(path);
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle] as { key: string }).key < key) low = middle + 1;
    else high = middle;
  }
  return entries.slice(Math.max(0, low - NEIGHBOURS), low + NEIGHBOURS).map((entry) => entry.path);
}

/** Folders and file names that stand in one of the paths only, between what they share at the beginning and at the end. */
function changedSegments(one: string, other: string): number {
  const [left, right] = [one.split('/'), other.split('/')];
  return left.length + right.length - 2 * sharedLength(left, right);
}

/** Of two sequences, what they share at the beginning and at the end, nothing counted twice. */
function sharedLength(one: string | string[], other: string | string[]): number {
  const shorter = Math.min(one.length, other.length);
  let start = 0;
  while (start < shorter && one[start] === other[start]) start += 1;
  let end = 0;
  while (end < shorter - start && one.at(-1 - end) === other.at(-1 - end)) end += 1;
  return start + end;
}
