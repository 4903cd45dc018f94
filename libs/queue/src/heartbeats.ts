import {
  HEARTBEAT_INTERVAL_MS,
  HEARTBEATS_UNTIL_DEAD,
  heartbeatSchema,
  type Heartbeat,
} from '@embergate/contracts/tiers.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { setTimeout as wait } from 'node:timers/promises';
import type { Redis } from './connection.ts';
import { WORKERS_KEY } from './names.ts';
import type { RedisClock } from './redis-clock.ts';

const DEAD_AFTER_MS = HEARTBEAT_INTERVAL_MS * HEARTBEATS_UNTIL_DEAD;
/** Records of workers that died without a word are removed after this. */
const FORGET_AFTER_MS = 60_000;
const GOODBYE_MS = 500;

/** Says every second that this worker lives, and what it can do. */
export class HeartbeatSource {
  readonly #redis: Redis;
  readonly #clock: RedisClock;
  readonly #describe: () => Omit<Heartbeat, 'at'>;
  #timer: NodeJS.Timeout | undefined;

  constructor(redis: Redis, clock: RedisClock, describe: () => Omit<Heartbeat, 'at'>) {
    this.#redis = redis;
    this.#clock = clock;
    this.#describe = describe;
  }

  async start(): Promise<void> {
    await this.beat();
    this.#timer = setInterval(() => void this.beat().catch(() => undefined), HEARTBEAT_INTERVAL_MS);
  }

  /** Says it now: for a change of state that others should not learn a second late. */
  async beat(): Promise<void> {
    const beat: Heartbeat = { ...this.#describe(), at: this.#clock.now() };
    await this.#redis.hset(WORKERS_KEY, beat.workerId, JSON.stringify(beat));
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const goodbye = this.#redis.hdel(WORKERS_KEY, this.#describe().workerId).catch(() => undefined);
    // Politeness, not a duty: without it the worker counts as dead three beats later.
    await Promise.race([goodbye, wait(GOODBYE_MS, undefined, { ref: false })]);
  }
}

/** The workers that live, as this process last read them. */
export class HeartbeatWatch {
  readonly #redis: Redis;
  readonly #clock: RedisClock;
  readonly #log: Logger;
  #beats: Heartbeat[] = [];
  #heardAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(redis: Redis, clock: RedisClock, log: Logger) {
    this.#redis = redis;
    this.#clock = clock;
    this.#log = log;
  }

  async start(): Promise<void> {
    await this.refresh().catch(() => undefined);
    this.#timer = setInterval(() => void this.refresh().catch(() => undefined), HEARTBEAT_INTERVAL_MS / 2);
  }

  async refresh(): Promise<void> {
    const records = await this.#redis.hgetall(WORKERS_KEY);
    const now = this.#clock.now();
    const beats: Heartbeat[] = [];
    for (const [workerId, record] of Object.entries(records)) {
      const parsed = heartbeatSchema.safeParse(parseJson(record));
      if (!parsed.success) this.#log.warn({ workerId }, 'a heartbeat could not be read');
      else if (now - parsed.data.at <= FORGET_AFTER_MS) {
        beats.push(parsed.data);
        continue;
      }
      await this.#redis.hdel(WORKERS_KEY, workerId);
    }
    this.#beats = beats;
    this.#heardAt = performance.now();
  }

  /** Workers with a beat in the last three seconds. */
  living(): Heartbeat[] {
    const now = this.#clock.now();
    return this.#beats.filter((beat) => now - beat.at <= DEAD_AFTER_MS);
  }

  isKnown(): boolean {
    return performance.now() - this.#heardAt <= DEAD_AFTER_MS;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
