import type { Redis } from './connection.ts';

const REFRESH_MS = 30_000;

/**
 * Time as Redis has it. Deadlines and heartbeats cross machines whose clocks differ; each process keeps its offset to
 * the one clock that all of them see.
 */
export class RedisClock {
  readonly #redis: Redis;
  #offsetMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  async start(): Promise<void> {
    await this.refresh();
    this.#timer = setInterval(() => void this.refresh().catch(() => undefined), REFRESH_MS);
    this.#timer.unref();
  }

  /** Milliseconds since the epoch, in Redis time. */
  now(): number {
    return Date.now() + this.#offsetMs;
  }

  async refresh(): Promise<void> {
    const before = Date.now();
    const [seconds, micros] = await this.#redis.time();
    const after = Date.now();
    this.#offsetMs = Number(seconds) * 1_000 + Number(micros) / 1_000 - (before + after) / 2;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
