import { z } from 'zod';

/** What a batch's vectors must be like. */
export interface Expected {
  count: number;
  dimensions: number;
  /** The space wants vectors of length one. */
  normalize: boolean;
}

const openAiSchema = z.object({
  data: z.array(z.object({ index: z.int(), embedding: z.union([z.string(), z.array(z.unknown())]) })),
});
const teiSchema = z.array(z.array(z.unknown()));

/** Not the vectors that were asked for. The message says why, and quotes nothing. */
export class WrongVectors extends Error {}

/**
 * Vectors of an OpenAI-compatible answer, in the order of the texts, whatever the order of its items; as numbers, or as
 * little-endian float32 in base64.
 * @returns count x dimensions, row by row.
 * @throws WrongVectors
 */
export function openAiVectors(body: unknown, expected: Expected): Float32Array {
  const parsed = openAiSchema.safeParse(body);
  if (!parsed.success) throw new WrongVectors('its answer is not a list of embeddings');
  const { data } = parsed.data;
  expectCount(data.length, expected);
  const rows = new Array<readonly unknown[] | Float32Array | undefined>(expected.count).fill(undefined);
  for (const { index, embedding } of data) {
    if (index < 0 || index >= expected.count || rows[index]) {
      throw new WrongVectors('its embeddings do not have one index each');
    }
    rows[index] = typeof embedding === 'string' ? fromBase64(embedding) : embedding;
  }
  return packed(rows as (readonly unknown[] | Float32Array)[], expected);
}

/** Vectors of text-embeddings-inference's `/embed`: a list of lists. @throws WrongVectors */
export function teiVectors(body: unknown, expected: Expected): Float32Array {
  const parsed = teiSchema.safeParse(body);
  if (!parsed.success) throw new WrongVectors('its answer is not a list of vectors');
  expectCount(parsed.data.length, expected);
  return packed(parsed.data, expected);
}

function expectCount(count: number, expected: Expected): void {
  if (count !== expected.count) {
    throw new WrongVectors(`it answered ${count} vectors to ${expected.count} texts`);
  }
}

function packed(rows: readonly (readonly unknown[] | Float32Array)[], expected: Expected): Float32Array {
  const { dimensions, normalize } = expected;
  const vectors = new Float32Array(rows.length * dimensions);
  rows.forEach((row, at) => {
    if (row.length !== dimensions) {
      throw new WrongVectors(`its vectors have ${row.length} dimensions, the model has ${dimensions}`);
    }
    const vector = vectors.subarray(at * dimensions, (at + 1) * dimensions);
    row.forEach((value, index) => (vector[index] = typeof value === 'number' ? value : NaN));
    check(vector, normalize);
  });
  return vectors;
}

/** Finite, not zero; and of length one where that is wanted, whatever the API does. */
function check(vector: Float32Array, normalize: boolean): void {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  if (!Number.isFinite(length)) throw new WrongVectors('a vector holds what is no finite number');
  if (length === 0) throw new WrongVectors('a vector is zero');
  if (normalize) vector.forEach((value, index) => (vector[index] = value / length));
}

function fromBase64(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  const values = new Float32Array(bytes.length >> 2);
  values.forEach((_, index) => (values[index] = bytes.readFloatLE(4 * index)));
  return values;
}
