import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { defaultModelDir, findModel, type InstalledModel } from '@embergate/models/installed-model.ts';
import { loadTokenizer, type Tokenizer } from '@embergate/models/tokenizer.ts';
import { homedir } from 'node:os';
import { InferenceSession, Tensor } from 'onnxruntime-node';

/** The model without queue, HTTP or child process: what everything else is compared with. */
export class RawModel {
  readonly tokenizer: Tokenizer;
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession, tokenizer: Tokenizer) {
    this.#session = session;
    this.tokenizer = tokenizer;
  }

  static async load(threads: number): Promise<RawModel> {
    const modelDir =
      process.env['MODEL_DIR'] ?? defaultModelDir({ home: homedir(), platform: process.platform });
    const model: InstalledModel = await findModel(DEFAULT_MODEL, { modelDir });
    const session = await InferenceSession.create(model.onnxPath, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'all',
      extra: {
        session: { intra_op: { allow_spinning: '1', spin_duration_us: '20' }, force_spinning_stop: '1' },
      },
    });
    return new RawModel(session, await loadTokenizer(model.tokenizerPath, { maxTokens: model.maxTokens }));
  }

  async run(batch: readonly Uint32Array[]): Promise<void> {
    const longest = Math.max(...batch.map((ids) => ids.length));
    const inputIds = new BigInt64Array(batch.length * longest);
    const mask = new BigInt64Array(batch.length * longest);
    batch.forEach((ids, row) => {
      ids.forEach((id, column) => {
        inputIds[row * longest + column] = BigInt(id);
        mask[row * longest + column] = 1n;
      });
    });
    const shape = [batch.length, longest];
    await this.#session.run({
      input_ids: new Tensor('int64', inputIds, shape),
      attention_mask: new Tensor('int64', mask, shape),
    });
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

/** Milliseconds of `rounds` single texts, one after the other. */
export async function timeSingles(raw: RawModel, text: Uint32Array, rounds: number): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    await raw.run([text]);
    times.push(performance.now() - start);
  }
  return times;
}

/** Tokens a second over texts sorted by length and cut into batches of `size`. */
export async function tokensPerSecond(
  raw: RawModel,
  sorted: readonly Uint32Array[],
  size: number,
): Promise<number> {
  const start = performance.now();
  for (let at = 0; at < sorted.length; at += size) await raw.run(sorted.slice(at, at + size));
  const tokens = sorted.reduce((sum, ids) => sum + ids.length, 0);
  return (tokens / (performance.now() - start)) * 1_000;
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN;
}
