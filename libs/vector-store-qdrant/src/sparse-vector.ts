/** A sparse vector in Qdrant's form: distinct indices, one value each. */
export interface SparseVector {
  indices: number[];
  values: number[];
}

/** BM25's usual saturation and length weight. */
const K1 = 1.2;
const B = 0.75;
/** Tokens of an average chunk. Fixed, so that a row's vector does not depend on what else is in the collection. */
const AVERAGE_LENGTH = 150;

/**
 * The term weights of a chunk: BM25 without its idf, which the server multiplies in (`modifier: idf`).
 * Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), equation 3.15:
 * tf (k1 + 1) / (tf + k1 (1 - b + b length / average)).
 */
export function documentVector(lexicalText: string): SparseVector {
  const tokens = lexicalText.split(' ').filter((token) => token !== '');
  const counts = new Map<number, number>();
  for (const token of tokens) {
    const index = termIndex(token);
    counts.set(index, (counts.get(index) ?? 0) + 1);
  }
  const norm = K1 * (1 - B + (B * tokens.length) / AVERAGE_LENGTH);
  return {
    indices: [...counts.keys()],
    values: [...counts.values()].map((count) => (count * (K1 + 1)) / (count + norm)),
  };
}

/** A query's terms, each once and of equal weight. */
export function queryVector(terms: string[]): SparseVector {
  const indices = [...new Set(terms.map(termIndex))];
  return { indices, values: indices.map(() => 1) };
}

/** A token's place among 2^32: 32-bit FNV-1a of its UTF-16 units. Never change it: stored rows were written by it. */
function termIndex(token: string): number {
  let hash = 0x811c9dc5;
  for (let position = 0; position < token.length; position++) {
    const unit = token.charCodeAt(position);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    if (unit > 0xff) hash = Math.imul(hash ^ (unit >> 8), 0x01000193);
  }
  return hash >>> 0;
}
