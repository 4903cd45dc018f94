export interface Merge {
  left: number;
  right: number;
  /** The token that both become. */
  merged: number;
}

const NO_RANK = -1;
/** Stands where a token was that is now part of the one before it. */
const GONE = -1;

/**
 * Byte-pair encoding: of all pairs of neighbours the one of the lowest rank becomes one token, the leftmost first
 * where ranks are equal, until no pair has a rank (Sennrich, Haddow, Birch 2016, https://arxiv.org/abs/1508.07909).
 * A heap holds the pairs: n bytes cost O(n log n), whatever they are.
 */
export class BytePairEncoder {
  readonly #byteTokens: Int32Array;
  readonly #merged: Int32Array;
  readonly #ranks = new Map<number, number>();
  readonly #size: number;

  /** `byteTokens`: the token of each of the 256 bytes. `merges`: in the order of their ranks. */
  constructor(byteTokens: readonly number[], merges: readonly Merge[]) {
    this.#byteTokens = Int32Array.from(byteTokens);
    this.#merged = Int32Array.from(merges, (merge) => merge.merged);
    this.#size = merges.reduce((size, { merged }) => Math.max(size, merged + 1), Math.max(...byteTokens) + 1);
    // Of a pair that is there twice the last rank counts, as in Hugging Face's tokenizers.
    merges.forEach(({ left, right }, rank) => this.#ranks.set(left * this.#size + right, rank));
  }

  /** The tokens of one word, whose bytes none of its neighbours' bytes are merged with. */
  encode(word: Uint8Array): number[] {
    const { length } = word;
    const tokens = Int32Array.from(word, (byte) => this.#byteTokens[byte] as number);
    // The next and the previous place that still holds a token; `length` and -1 where there is none.
    const next = Int32Array.from(tokens, (_token, place) => place + 1);
    const previous = Int32Array.from(tokens, (_token, place) => place - 1);
    // A pair is its rank * length + the place of its left token: the smallest number is merged next.
    const pairs = new MinHeap();
    const offer = (place: number) => {
      if (place < 0) return;
      const rank = this.#rank(tokens[place], tokens[next[place] as number]);
      if (rank !== NO_RANK) pairs.push(rank * length + place);
    };
    for (let place = 0; place < length - 1; place++) offer(place);
    for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
      const place = pair % length;
      const rank = (pair - place) / length;
      const right = next[place] as number;
      // Offered before one of its two was merged with another.
      if (this.#rank(tokens[place], tokens[right]) !== rank) continue;
      tokens[place] = this.#merged[rank] as number;
      tokens[right] = GONE;
      const after = next[right] as number;
      next[place] = after;
      if (after < length) previous[after] = place;
      offer(place);
      offer(previous[place] as number);
    }
    return Array.from(tokens.filter((token) => token !== GONE));
  }

  #rank(left: number | undefined, right: number | undefined): number {
    if (left === undefined || right === undefined || left === GONE) return NO_RANK;
    return this.#ranks.get(left * this.#size + right) ?? NO_RANK;
  }
}

/** A binary heap: the parent of place n is at (n - 1) / 2 and never greater. */
class MinHeap {
  readonly #items: number[] = [];

  push(item: number): void {
    const items = this.#items;
    let place = items.length;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = items[parent] as number;
      if (above <= item) break;
      items[place] = above;
      place = parent;
    }
    items[place] = item;
  }

  /** The smallest item, or undefined where there is none. */
  pop(): number | undefined {
    const items = this.#items;
    const smallest = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return smallest;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && (items[child + 1] as number) < (items[child] as number)) child++;
      if ((items[child] as number) >= last) break;
      items[place] = items[child] as number;
      place = child;
    }
    items[place] = last;
    return smallest;
  }
}
