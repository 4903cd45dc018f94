import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer, type Tokenizer } from '@embergate/models/tokenizer.ts';
import type { InputType } from '@embergate/contracts/space.ts';
import { InferenceSession, Tensor } from 'onnxruntime-node';

/** The default model without queue, batches and child process: what every vector is compared with. */
export class DirectModel {
  readonly name: string;
  readonly #session: InferenceSession;
  readonly #tokenizer: Tokenizer;
  readonly #prompts: Record<InputType, string>;

  private constructor(
    name: string,
    parts: { session: InferenceSession; tokenizer: Tokenizer; prompts: Record<InputType, string> },
  ) {
    this.name = name;
    this.#session = parts.session;
    this.#tokenizer = parts.tokenizer;
    this.#prompts = parts.prompts;
  }

  static async load(modelDir: string): Promise<DirectModel> {
    const model = await findModel(DEFAULT_MODEL, { modelDir });
    const session = await InferenceSession.create(model.onnxPath, { executionProviders: ['cpu'] });
    const tokenizer = await loadTokenizer(model.tokenizerPath, { maxTokens: model.maxTokens });
    return new DirectModel(model.name, { session, tokenizer, prompts: model.space.prompts });
  }

  async embed(text: string, inputType: InputType): Promise<Float32Array> {
    const { ids } = this.#tokenizer.encode(this.#prompts[inputType] + text);
    const shape = [1, ids.length];
    const outputs = await this.#session.run({
      input_ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), shape),
      attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
    });
    const vector = outputs['embedding']?.data;
    if (!(vector instanceof Float32Array)) throw new Error('the model gave no float32 embedding');
    return vector;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

/** Of vectors of one length; NaN otherwise, and where one of them has no direction. */
function cosine(one: Float32Array, other: Float32Array): number {
  if (one.length !== other.length) return NaN;
  return dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other));
}

const dot = (one: Float32Array, other: Float32Array): number =>
  one.reduce((sum, value, index) => sum + value * (other[index] ?? NaN), 0);

const SAME = 0.9999;
/** The same direction and, as callers compare by the dot product, the same length. False for NaN too. */
export const isSameVector = (one: Float32Array, other: Float32Array): boolean =>
  cosine(one, other) >= SAME && Math.abs(dot(one, one) - dot(other, other)) <= 1 - SAME;
