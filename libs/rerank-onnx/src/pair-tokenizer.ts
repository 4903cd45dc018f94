import * as library from '@huggingface/tokenizers';

interface Encoded {
  ids: number[];
  token_type_ids?: number[];
}
interface LibraryTokenizer {
  encode: (
    text: string,
    options?: { text_pair?: string; add_special_tokens?: boolean; return_token_type_ids?: boolean },
  ) => Encoded;
}
// The library's declarations import each other without file endings, which Node's module rules do not resolve.
const { Tokenizer } = library as unknown as {
  Tokenizer: new (tokenizerFile: unknown, config: object) => LibraryTokenizer;
};

export interface Pair {
  /** Special tokens included, at most maxTokens. */
  ids: number[];
  /** 0 for the query's part, 1 for the passage's, where the model tells them apart. */
  types: number[];
}

/** Of a text no more than this for a token is read: what it costs depends on the model's limit, not on the text. */
const CHARACTERS_PER_TOKEN = 16;

/** What the model wants around two texts: [CLS] query [SEP] passage [SEP] for BERT. */
interface Frame {
  before: number[];
  between: number[];
  after: number[];
  /** Of each part: before, query, between, passage, after. One type a token. */
  types: { before: number[]; query: number; between: number[]; passage: number; after: number[] };
}

/**
 * Makes pairs as Hugging Face's tokenizers do with `truncation="longest_first"`, which cross-encoders are trained with: the longer of the
 * two loses its end.
 */
export class PairTokenizer {
  readonly #tokenizer: LibraryTokenizer;
  readonly #maxTokens: number;
  readonly #frame: Frame;

  /** @param json content of a tokenizer.json. Throws on one that cannot be read. */
  constructor(json: unknown, maxTokens: number) {
    this.#tokenizer = new Tokenizer(json, {});
    this.#maxTokens = maxTokens;
    this.#frame = this.#readFrame();
    if (this.#room < 2) throw new Error(`${maxTokens} tokens leave no room for two texts`);
  }

  get #room(): number {
    const { before, between, after } = this.#frame;
    return this.#maxTokens - before.length - between.length - after.length;
  }

  /** Pairs of one query with each passage. */
  encode(query: string, passages: readonly string[]): Pair[] {
    const first = this.#tokens(query);
    return passages.map((passage) => this.#pair(first, this.#tokens(passage)));
  }

  #pair(query: readonly number[], passage: readonly number[]): Pair {
    const [forQuery, forPassage] = longestFirst(query.length, passage.length, this.#room);
    const { before, between, after, types } = this.#frame;
    const [first, second] = [query.slice(0, forQuery), passage.slice(0, forPassage)];
    return {
      ids: [...before, ...first, ...between, ...second, ...after],
      types: [
        ...types.before,
        ...first.map(() => types.query),
        ...types.between,
        ...second.map(() => types.passage),
        ...types.after,
      ],
    };
  }

  #tokens(text: string): number[] {
    const read = text.slice(0, this.#maxTokens * CHARACTERS_PER_TOKEN).toWellFormed();
    return this.#tokenizer.encode(read, { add_special_tokens: false }).ids;
  }

  #readFrame(): Frame {
    const options = { text_pair: 'b', return_token_type_ids: true };
    const { ids, token_type_ids: types = ids.map(() => 0) } = this.#tokenizer.encode('a', options);
    const [a = [], b = []] = ['a', 'b'].map((text) => this.#tokens(text));
    const from = indexOf(ids, a, 0);
    const to = indexOf(ids, b, from + a.length);
    if (from < 0 || to < 0 || a.length === 0) throw new Error('it does not put two texts side by side');
    const [mid, end] = [from + a.length, to + b.length];
    return {
      before: ids.slice(0, from),
      between: ids.slice(mid, to),
      after: ids.slice(end),
      types: {
        before: types.slice(0, from),
        query: types[from] ?? 0,
        between: types.slice(mid, to),
        passage: types[to] ?? 0,
        after: types.slice(end),
      },
    };
  }
}

/** Where `part` stands in `list` from `start` on; -1 where it does not. */
function indexOf(list: readonly number[], part: readonly number[], start: number): number {
  for (let at = start; at + part.length <= list.length; at++) {
    if (part.every((value, offset) => list[at + offset] === value)) return at;
  }
  return -1;
}

/** How many tokens of each text are kept: token after token goes from the longer one. */
function longestFirst(first: number, second: number, room: number): [number, number] {
  if (first + second <= room) return [first, second];
  const [short, long] = [Math.min(first, second), Math.max(first, second)];
  const half = Math.floor(room / 2);
  const kept: [number, number] = short <= half ? [short, Math.min(long, room - short)] : [half, room - half];
  return first <= second ? kept : [kept[1], kept[0]];
}
