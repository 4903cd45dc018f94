import { Tensor, type InferenceSession } from 'onnxruntime-node';
import type { Model, Part } from './turns.ts';

/** A model that reads all tokens of a text at once: the texts of a batch are padded and computed together. */
export class Encoder implements Model {
  readonly #session: InferenceSession;
  readonly #padTokenId: number;

  constructor(session: InferenceSession, padTokenId: number) {
    this.#session = session;
    this.#padTokenId = padTokenId;
  }

  async *embed(texts: readonly Uint32Array[]): AsyncGenerator<Part, Float32Array> {
    const outputs = await this.#session.run(padRight(texts, this.#padTokenId));
    return vectorsOf(outputs);
  }
}

/** The output that holds the vectors. */
export const EMBEDDING = 'embedding';

/** The output {@link EMBEDDING}. @throws where it is not there, or no float32. */
export function vectorsOf(outputs: InferenceSession.OnnxValueMapType): Float32Array {
  const vectors = outputs[EMBEDDING]?.data;
  if (!(vectors instanceof Float32Array)) throw new Error('the model has no float32 output "embedding"');
  return vectors;
}

/** [texts, longest] int64 ids and mask. Ids are below 2^31: writing the low words is all it takes. */
function padRight(texts: readonly Uint32Array[], padTokenId: number): Record<string, Tensor> {
  const longest = texts.reduce((max, { length }) => Math.max(max, length), 0);
  const inputIds = new BigInt64Array(texts.length * longest).fill(BigInt(padTokenId));
  const mask = new BigInt64Array(texts.length * longest);
  const idWords = new Uint32Array(inputIds.buffer);
  const maskWords = new Uint32Array(mask.buffer);
  texts.forEach((ids, text) => {
    ids.forEach((id, position) => {
      const word = 2 * (text * longest + position);
      idWords[word] = id;
      maskWords[word] = 1;
    });
  });
  return {
    input_ids: new Tensor('int64', inputIds, [texts.length, longest]),
    attention_mask: new Tensor('int64', mask, [texts.length, longest]),
  };
}
