import type { Lane, TierName } from '@embergate/contracts/tiers.ts';
import { FrozenProcesses } from '@embergate/testing/frozen-processes.ts';
import { KeptRedis } from '@embergate/testing/kept-redis.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import { Admissions } from '../src/admissions.ts';
import { connectRedis, type Redis, type RedisPatience } from '../src/connection.ts';
import { EmbedReceiver, type EmbedHandler } from '../src/embed-receiver.ts';
import { EmbedSender } from '../src/embed-sender.ts';
import { RedisClock } from '../src/redis-clock.ts';
import { startRedisServer } from '../src/redis-server.ts';
import { log, SPACE } from './fake-model.ts';

export interface ReceiverOptions {
  lane: Lane;
  handler: EmbedHandler;
  tier?: TierName;
  space?: string;
  redis?: Redis;
}

/** A real server, and what is connected to it; what a test began is given back after it. */
export class QueueOnRedis {
  readonly frozen = new FrozenProcesses();
  readonly #server: KeptRedis;
  readonly #removeFolder: () => Promise<void>;
  #begun: (() => unknown)[] = [];

  private constructor(server: KeptRedis, removeFolder: () => Promise<void>) {
    this.#server = server;
    this.#removeFolder = removeFolder;
  }

  static async start(name: string): Promise<QueueOnRedis> {
    const folder = await temporaryFolder(name);
    const binary = inject('redisServer');
    const server = await KeptRedis.start((where) => startRedisServer({ binary, log, ...where }), folder.path);
    return new QueueOnRedis(server, folder.remove);
  }

  async stop(): Promise<void> {
    this.frozen.close();
    await this.#server.stop();
    await this.#removeFolder();
  }

  /** After each test. */
  async clear(): Promise<void> {
    this.frozen.thawAll();
    for (const give of this.#begun.reverse()) await give();
    this.#begun = [];
    const redis = await this.connect('patient');
    await redis.flushall();
    this.#begun = [];
    redis.disconnect();
  }

  afterwards(give: () => unknown): void {
    this.#begun.push(give);
  }

  get url(): string {
    return this.#server.url;
  }

  pid(): Promise<number> {
    return this.#server.pid();
  }

  restart(): Promise<void> {
    return this.#server.restart();
  }

  async connect(patience: RedisPatience): Promise<Redis> {
    const redis = await connectRedis({ url: this.url, patience, log });
    this.afterwards(() => redis.disconnect());
    return redis;
  }

  async clock(redis: Redis): Promise<RedisClock> {
    const clock = new RedisClock(redis);
    await clock.start();
    this.afterwards(() => clock.stop());
    return clock;
  }

  async admissions(): Promise<Admissions> {
    return new Admissions(await this.connect('fail-fast'), SPACE);
  }

  /** A gateway: it reserves a query's place before it sends it. */
  async sender(): Promise<{
    redis: Redis;
    clock: RedisClock;
    sender: EmbedSender;
    send: EmbedSender['send'];
    admissions: Admissions;
  }> {
    const redis = await this.connect('fail-fast');
    const clock = await this.clock(redis);
    const sender = new EmbedSender(redis, clock, log);
    this.afterwards(() => sender.close());
    const admissions = new Admissions(redis, SPACE);
    const send: EmbedSender['send'] = async (wanted) => {
      const place = { jobId: randomUUID(), tier: wanted.tier, lane: wanted.lane };
      const anyLoad = { maxReservedTokens: Infinity, breakerText: null };
      if (wanted.lane === 'query')
        await admissions.reserve({ ...place, tokens: 1, ttlMs: wanted.deadlineMs, ...anyLoad });
      return sender.send({ jobId: place.jobId, ...wanted });
    };
    return { redis, clock, sender, send, admissions };
  }

  /** A worker's end of one lane. */
  async receiver({
    lane,
    handler,
    tier = 'cpu',
    space = SPACE,
    redis,
  }: ReceiverOptions): Promise<EmbedReceiver> {
    const connection = redis ?? (await this.connect('patient'));
    const receiver = new EmbedReceiver({
      redis: connection,
      clock: await this.clock(connection),
      space,
      tier,
      lane,
      concurrency: 8,
      handler,
      log,
    });
    this.afterwards(() => receiver.close());
    return receiver;
  }
}
