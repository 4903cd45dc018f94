/** Neighbours that are looked at on each side of where a path would stand. */
const NEIGHBOURS = 8;

/**
 * Of many paths those that read most like a given one, by what they share at the end (a folder was moved) and at the beginning (a file got
 * another name). Paths that share most of an end stand side by side when all are sorted from their last character, so that none is compared
 * with all: 32 are, whatever their number.
 */
export class LikePaths {
  readonly #sorted: readonly string[];
  readonly #sortedFromEnd: readonly string[];

  constructor(paths: Iterable<string>) {
    this.#sorted = [...paths].sort(byCodeUnits);
    this.#sortedFromEnd = this.#sorted.map(reversed).sort(byCodeUnits);
  }

  /** @returns at most {@link NEIGHBOURS} times four, the likest first. */
  of(path: string): string[] {
    const near = [
      ...neighbours(this.#sortedFromEnd, reversed(path)).map(reversed),
      ...neighbours(this.#sorted, path),
    ];
    return [...new Set(near)]
      .map((other) => ({ other, shared: sharedLength(path, other) }))
      .sort((one, other) => other.shared - one.shared || byCodeUnits(one.other, other.other))
      .map(({ other }) => other);
  }
}

const byCodeUnits = (one: string, other: string): number => (one < other ? -1 : Number(one > other));

/** By code units: half of a pair is put back by reversing once more. */
const reversed = (text: string): string => text.split('').reverse().join('');

function neighbours(sorted: readonly string[], text: string): string[] {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as string) < text) low = middle + 1;
    else high = middle;
  }
  return sorted.slice(Math.max(0, low - NEIGHBOURS), low + NEIGHBOURS);
}

/** Characters that two paths share at the beginning and at the end, none counted twice. */
function sharedLength(one: string, other: string): number {
  const shorter = Math.min(one.length, other.length);
  let start = 0;
  while (start < shorter && one[start] === other[start]) start += 1;
  let end = 0;
  while (end < shorter - start && one.at(-1 - end) === other.at(-1 - end)) end += 1;
  return start + end;
}
