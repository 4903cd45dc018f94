import { decodeTokenIds, type EmbedJob, type EmbedReply } from '@embergate/contracts/embed-job.ts';
import { AppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import { LANES, type Heartbeat, type TierName } from '@embergate/contracts/tiers.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { connectRedis, type Redis } from '@embergate/queue/connection.ts';
import { EmbedReceiver } from '@embergate/queue/embed-receiver.ts';
import { HeartbeatSource } from '@embergate/queue/heartbeats.ts';
import { RedisClock } from '@embergate/queue/redis-clock.ts';
import { setTimeout as wait } from 'node:timers/promises';

export const SPACE = 'space-of-the-tests';
/** The ids of the canary text in these tests: no query has them. */
export const CANARY = 'a canary text';
export const CANARY_IDS = Uint32Array.of(999_999, 999_998);
/** Two milliseconds for a query of ten tokens. */
const QUICK = { a: 1, b: 0.1 };

/** The vector of a text in these tests: of length one, and another one for each text. */
export function vectorOf(ids: Uint32Array): Float32Array {
  const angle = ids.reduce((sum, id, at) => sum + id * (at + 1), 0);
  return Float32Array.of(Math.cos(angle), Math.sin(angle));
}

type Act = 'answers' | 'fails' | 'is silent';
type Words = Pick<Heartbeat, 'state' | 'fit'>;

export interface ScriptedWorkerOptions {
  tier: TierName;
  workerId: string;
  fit?: Heartbeat['fit'];
  /** Jobs it takes at a time. */
  concurrency?: number;
}

/**
 * Stands for a worker with a model: takes jobs from real lanes and beats as a worker does, and does with each job what
 * the test says.
 */
export class ScriptedWorker {
  act: Act = 'answers';
  /** What a failing worker says. */
  code: ErrorCode = 'embedding_failed';
  delayMs = 0;
  /** First token ids of the queries that were begun, in order. */
  readonly begun: number[] = [];
  canaries = 0;
  /** What jobs carried beside the ids, the canary's too. */
  readonly texts: (readonly string[] | undefined)[] = [];
  readonly tier: TierName;
  readonly workerId: string;
  readonly #redis: Redis;
  readonly #clock: RedisClock;
  readonly #source: HeartbeatSource;
  readonly #receivers: EmbedReceiver[];
  #words: Words;
  #speaksUp = Promise.withResolvers<void>();

  private constructor(
    redis: Redis,
    { tier, workerId, fit = QUICK, concurrency = 64 }: ScriptedWorkerOptions,
  ) {
    this.#redis = redis;
    this.tier = tier;
    this.workerId = workerId;
    this.#words = { state: 'ready', fit };
    this.#clock = new RedisClock(redis);
    this.#source = new HeartbeatSource(redis, this.#clock, () => this.#describe());
    this.#receivers = LANES.map(
      (lane) =>
        new EmbedReceiver({
          redis,
          clock: this.#clock,
          space: SPACE,
          tier,
          lane,
          concurrency,
          handler: (job) => this.#handle(job),
          log: createLogger('test', 'silent'),
        }),
    );
  }

  static async start(url: string, options: ScriptedWorkerOptions): Promise<ScriptedWorker> {
    const redis = await connectRedis({ url, patience: 'patient', log: createLogger('test', 'silent') });
    const worker = new ScriptedWorker(redis, options);
    await worker.#clock.start();
    await worker.#source.start();
    return worker;
  }

  /** Says something new of itself, at once. */
  async says(words: Partial<Words>): Promise<void> {
    this.#words = { ...this.#words, ...words };
    await this.#source.beat();
  }

  /** Answers all it has been silent about. */
  speakUp(): void {
    this.#speaksUp.resolve();
    this.#speaksUp = Promise.withResolvers();
  }

  /** Says goodbye and takes no more jobs. */
  async stop(): Promise<void> {
    await this.#source.stop();
    this.act = 'answers';
    this.speakUp();
    await Promise.all(this.#receivers.map((receiver) => receiver.close()));
    this.#clock.stop();
    this.#redis.disconnect();
  }

  #describe(): Omit<Heartbeat, 'at'> {
    const { tier, workerId } = this;
    const model = { space: SPACE, model: 'm', variant: `variant-of-${tier}`, device: tier };
    return { workerId, tier, ...model, ...this.#words, batchTokens: 0, alignment: null };
  }

  async #handle(job: EmbedJob): Promise<EmbedReply> {
    const inputs = job.inputs.map(decodeTokenIds);
    const [ids = new Uint32Array()] = inputs;
    this.texts.push(job.texts);
    if (ids[0] === CANARY_IDS[0]) this.canaries += 1;
    else this.begun.push(ids[0] ?? 0);
    if (this.delayMs > 0) await wait(this.delayMs);
    if (this.act === 'is silent') await this.#speaksUp.promise;
    else if (this.act === 'fails') throw new AppError(this.code, `the ${this.tier} model is broken`);
    return {
      meta: {
        status: 'ok',
        id: job.id,
        count: inputs.length,
        dimensions: 2,
        workerId: this.workerId,
        tier: this.tier,
        variant: `variant-of-${this.tier}`,
        device: this.tier,
        queueMs: 0,
        inferenceMs: 1,
      },
      vectors: Float32Array.from(inputs.flatMap((each) => [...vectorOf(each)])),
    };
  }
}
