import type { Lane } from '@embergate/contracts/tiers.ts';
import { prefixOf } from '@embergate/embedding/padded-tokens.ts';
import { Tensor, type InferenceSession } from 'onnxruntime-node';
import { EMBEDDING, vectorsOf } from './encoder.ts';
import type { Model, Part } from './turns.ts';

/** Keys and values of what came before, and up to here (libs/models, qwen2-graph.ts). */
const PAST = 'past.';
const PRESENT = 'present.';

/** Keys and values of the tokens so far. */
interface Cache {
  tokens: number;
  feeds: Record<string, Tensor>;
}

/**
 * Texts are cut at even places only. onnxruntime's int4 kernels for blocks of 128 compute tokens in pairs, and one that has no
 * partner in another order: cut elsewhere, a text would get a vector that is another one by some 1e-5.
 */
const even = (tokens: number): number => tokens - (tokens % 2);

/** A query waits for the end of one part: it stays clear of the 250 ms that it may wait at most. */
const BULK_PART_MS = 200;
/** What a part needs in memory grows with it. */
const MOST_TOKENS = 512;
/**
 * From 32 tokens on, attention on WebGPU goes another way in onnxruntime, and on some devices that way computes something else.
 * So few at a time go the other one, which is right wherever it was tried.
 */
const SURE_TOKENS = 30;
const CHECKED_LENGTHS = [33, 64];
/** By cosine; what is wrong was seen to be below 0.9996 at these lengths, and rounding stays above 0.999999. */
const LEAST_AGREEMENT = 0.9999;
/** Before anything has been measured. */
const FIRST_TOKENS = 8;
/** How much one part moves what is known of the speed. */
const WEIGHT = 0.3;

/**
 * A model that reads a text from left to right, as its attention is causal. A text is computed in parts, which reuse the keys
 * and values of those before, and how texts begin again and again (the prompt of a query) is computed once.
 *
 * Each text is computed alone: onnxruntime takes one text at a time where something came before it, and on a CPU two texts take
 * as long together as one after the other.
 */
export class Decoder implements Model {
  readonly #session: InferenceSession;
  /** Of keys and values. */
  readonly #names: readonly { past: string; present: string }[];
  readonly #nothing: Cache;
  /** By the prefixes that were computed. */
  readonly #caches = new Map<Uint32Array, Cache>();
  #msPerToken: number | undefined;
  #mostTokens = MOST_TOKENS;

  private constructor(session: InferenceSession) {
    this.#session = session;
    const caches = session.inputMetadata.filter(({ name }) => name.startsWith(PAST));
    this.#names = caches.map(({ name: past }) => ({ past, present: past.replace(PAST, PRESENT) }));
    const feeds = caches.map((value) => [value.name, emptyTensor(value)] as const);
    this.#nothing = { tokens: 0, feeds: Object.fromEntries(feeds) };
  }

  /** Whether the model takes and gives back keys and values. */
  static runs(session: InferenceSession): boolean {
    return session.inputNames.some((name) => name.startsWith(PAST));
  }

  /**
   * @param prefixes each an even number of token ids; computed here.
   * @param checksParts computes two texts at once and in parts first: where their vectors differ, all texts go in short parts.
   */
  static async create(
    session: InferenceSession,
    prefixes: readonly Uint32Array[],
    { checksParts = false }: { checksParts?: boolean } = {},
  ): Promise<Decoder> {
    const decoder = new Decoder(session);
    if (checksParts) await decoder.#checkParts();
    for (const ids of prefixes) {
      let cache = decoder.#nothing;
      while (cache.tokens < ids.length) {
        const part = ids.subarray(cache.tokens, cache.tokens + decoder.#mostTokens);
        ({ cache } = await decoder.#step(cache, part, { isLast: false }));
      }
      decoder.#caches.set(ids, cache);
    }
    return decoder;
  }

  /** What is computed at once at most, where that had to be less than usual. */
  get shortParts(): number | undefined {
    return this.#mostTokens < MOST_TOKENS ? this.#mostTokens : undefined;
  }

  async #checkParts(): Promise<void> {
    for (const length of CHECKED_LENGTHS) {
      const text = Uint32Array.from({ length }, (_, at) => (at * 37 + 11) % 256);
      const { vector: atOnce } = await this.#step(this.#nothing, text, { isLast: true });
      let made = await this.#step(this.#nothing, text.subarray(0, SURE_TOKENS), { isLast: false });
      for (let from = SURE_TOKENS; from < length; from += SURE_TOKENS) {
        made = await this.#step(made.cache, text.subarray(from, from + SURE_TOKENS), { isLast: false });
      }
      const { vector } = made;
      const cosine = atOnce.reduce((sum, value, at) => sum + value * (vector[at] ?? 0), 0);
      // Not a number is no agreement.
      if (!(cosine >= LEAST_AGREEMENT)) this.#mostTokens = SURE_TOKENS;
    }
  }

  async *embed(texts: readonly Uint32Array[], lane: Lane): AsyncGenerator<Part, Float32Array> {
    const vectors: Float32Array[] = [];
    for (const text of texts) {
      if (vectors.length > 0) yield 'part';
      vectors.push(yield* this.#embedOne(text, lane));
    }
    const all = new Float32Array(vectors.reduce((sum, { length }) => sum + length, 0));
    vectors.forEach((vector, row) => all.set(vector, row * vector.length));
    return all;
  }

  async *#embedOne(text: Uint32Array, lane: Lane): AsyncGenerator<Part, Float32Array> {
    const prefix = prefixOf(text, [...this.#caches.keys()]);
    let cache = (prefix && this.#caches.get(prefix)) ?? this.#nothing;
    for (;;) {
      const part = text.subarray(cache.tokens, cache.tokens + this.#tokensAtATime(lane));
      const startedAt = performance.now();
      const isLast = cache.tokens + part.length === text.length;
      const made = await this.#step(cache, part, { isLast });
      this.#learn((performance.now() - startedAt) / part.length);
      if (isLast) return made.vector;
      cache = made.cache;
      yield 'part';
    }
  }

  #tokensAtATime(lane: Lane): number {
    if (lane === 'query') return this.#mostTokens;
    if (this.#msPerToken === undefined) return FIRST_TOKENS;
    return Math.max(2, even(Math.min(this.#mostTokens, Math.floor(BULK_PART_MS / this.#msPerToken))));
  }

  #learn(msPerToken: number): void {
    this.#msPerToken ??= msPerToken;
    this.#msPerToken += WEIGHT * (msPerToken - this.#msPerToken);
  }

  /** After the last part nobody wants its keys and values: a GPU need not send them back. */
  async #step(
    before: Cache,
    ids: Uint32Array,
    { isLast }: { isLast: boolean },
  ): Promise<{ cache: Cache; vector: Float32Array }> {
    const tokens = before.tokens + ids.length;
    const given = {
      input_ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]),
      last_token: new Tensor('int64', BigInt64Array.of(BigInt(ids.length - 1)), [1, 1]),
      seqlens_k: new Tensor('int32', Int32Array.of(tokens - 1), [1]),
      total_sequence_length: new Tensor('int32', Int32Array.of(tokens), [1]),
      ...before.feeds,
    };
    if (isLast) {
      const outputs = await this.#session.run(given, [EMBEDDING]);
      return { cache: this.#nothing, vector: vectorsOf(outputs) };
    }
    const outputs = await this.#session.run(given);
    const feeds = this.#names.map(({ past, present }) => [past, outputs[present] as Tensor] as const);
    return { cache: { tokens, feeds: Object.fromEntries(feeds) }, vector: vectorsOf(outputs) };
  }
}

/** [1, kvHeads, 0 tokens, headSize], float32 or float16, as the graph declares it. */
function emptyTensor(value: InferenceSession.ValueMetadata): Tensor {
  if (!value.isTensor) throw new Error(`the model's input ${value.name} is no tensor`);
  const [, kvHeads, , headSize] = value.shape;
  const dims = [1, Number(kvHeads), 0, Number(headSize)];
  return value.type === 'float16'
    ? new Tensor('float16', new Uint16Array(0), dims)
    : new Tensor('float32', new Float32Array(0), dims);
}
