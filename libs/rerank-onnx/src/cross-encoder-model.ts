import { AppError } from '@embergate/contracts/errors.ts';
import type { Sample } from '@embergate/routing/fit.ts';
import { readFile } from 'node:fs/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { PairTokenizer, type Pair } from './pair-tokenizer.ts';
import type { LoadCrossEncoder } from './protocol.ts';

/** As embedding models run: threads spin only for as long as the next operator is away (docs/benchmarks.md, "Spinning"). */
const THREADING = {
  intra_op: { allow_spinning: '1', spin_duration_us: '20' },
  force_spinning_stop: '1',
};
/** [pairs, tokens] of the first batches: one size alone would not tell what a batch costs by itself. */
const WARM_UP_SIZES: readonly (readonly [number, number])[] = [
  [1, 16],
  [8, 64],
  [8, 256],
];
const WARM_UP_ROUNDS = 2;
/** A size that takes this long, in milliseconds, is run once, and larger ones not at all. */
const LONG_MS = 1_000;
const INPUTS = ['input_ids', 'attention_mask', 'token_type_ids'] as const;

/** A cross-encoder in onnxruntime, on the CPU, with its tokenizer. It blocks its thread while it computes. */
export class CrossEncoderModel {
  readonly #session: InferenceSession;
  readonly #tokenizer: PairTokenizer;
  readonly #options: Omit<LoadCrossEncoder, 'type'>;
  readonly #output: string;

  private constructor(
    session: InferenceSession,
    tokenizer: PairTokenizer,
    options: Omit<LoadCrossEncoder, 'type'>,
  ) {
    this.#session = session;
    this.#tokenizer = tokenizer;
    this.#options = options;
    const names = session.outputNames;
    this.#output = names.includes('logits') ? 'logits' : (names[0] ?? '');
  }

  /** Errors: `model_damaged` where the files cannot be read, or are of no model that gives a pair one number. */
  static async open(options: Omit<LoadCrossEncoder, 'type'>): Promise<CrossEncoderModel> {
    const { onnxPath, tokenizerPath, maxTokens, threads } = options;
    const tokenizer = await readFile(tokenizerPath, 'utf8')
      .then((text) => new PairTokenizer(JSON.parse(text), maxTokens))
      .catch((error: unknown) => {
        throw damaged(`${tokenizerPath} is no tokenizer that can be used`, error);
      });
    const session = await InferenceSession.create(onnxPath, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'all',
      extra: { session: THREADING },
    }).catch((error: unknown) => {
      throw damaged(`onnxruntime cannot load ${onnxPath}`, error);
    });
    const unknown = session.inputNames.find((name) => !(INPUTS as readonly string[]).includes(name));
    if (unknown !== undefined || !session.inputNames.includes('input_ids'))
      throw damaged(
        `${onnxPath} has the inputs ${session.inputNames.join(', ')}, and a cross-encoder has ${INPUTS.join(', ')}`,
      );
    return new CrossEncoderModel(session, tokenizer, options);
  }

  /** What batches of several sizes take, the faster round of each. Errors: `model_damaged`. */
  async warmUp(): Promise<Sample[]> {
    const samples: Sample[] = [];
    for (const [pairs, tokens] of WARM_UP_SIZES) {
      const length = Math.min(tokens, this.#options.maxTokens);
      const pair: Pair = {
        ids: Array<number>(length).fill(this.#options.padTokenId),
        types: Array<number>(length).fill(0),
      };
      const rounds: number[] = [];
      while (rounds.length < WARM_UP_ROUNDS && !(rounds.at(-1)! >= LONG_MS)) {
        const startedAt = performance.now();
        await this.#run(Array<Pair>(pairs).fill(pair)).catch((error: unknown) => {
          throw damaged(`${this.#options.onnxPath} does not rank a pair`, error);
        });
        rounds.push(performance.now() - startedAt);
      }
      samples.push({ paddedTokens: pairs * length, ms: Math.min(...rounds) });
      if (Math.min(...rounds) >= LONG_MS && samples.length > 1) break;
    }
    return samples;
  }

  /** @returns one number a passage, the higher the better. Throws what onnxruntime throws. */
  async score(query: string, passages: readonly string[]): Promise<Float32Array> {
    const logits = await this.#run(this.#tokenizer.encode(query, passages));
    if (!logits.every(Number.isFinite)) throw new Error('the model returned a number that is not finite');
    return logits;
  }

  async #run(pairs: readonly Pair[]): Promise<Float32Array> {
    const { padTokenId } = this.#options;
    const longest = Math.max(...pairs.map(({ ids }) => ids.length));
    const filled = (of: (pair: Pair, at: number) => number): Tensor => {
      const values = new BigInt64Array(pairs.length * longest);
      pairs.forEach((pair, row) => {
        for (let at = 0; at < longest; at++) values[row * longest + at] = BigInt(of(pair, at));
      });
      return new Tensor('int64', values, [pairs.length, longest]);
    };
    const feeds: Record<(typeof INPUTS)[number], () => Tensor> = {
      input_ids: () => filled(({ ids }, at) => ids[at] ?? padTokenId),
      attention_mask: () => filled(({ ids }, at) => Number(at < ids.length)),
      token_type_ids: () => filled(({ types }, at) => types[at] ?? 0),
    };
    const wanted = INPUTS.filter((name) => this.#session.inputNames.includes(name));
    const outputs = await this.#session.run(Object.fromEntries(wanted.map((name) => [name, feeds[name]()])));
    const logits = outputs[this.#output]?.data;
    if (!(logits instanceof Float32Array) || logits.length !== pairs.length)
      throw new Error(`its output ${this.#output} is not one float32 a pair`);
    return logits;
  }
}

const damaged = (what: string, cause?: unknown): AppError => {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new AppError('model_damaged', `${what}${why}`, { cause });
};
