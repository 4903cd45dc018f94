import type { Redis } from './connection.ts';

const REFRESH_MS = 30_000;
/** A reading is off by half of its round trip at most. */
const SHARP_MS = 20;
const MAX_READINGS = 3;

/**
 * Time as Redis has it. Deadlines and heartbeats cross machines whose clocks differ; each process keeps its offset to
 * the one clock that all of them see. This machine's own clock may be set while the process runs, so it plays no part.
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
    return performance.now() + this.#offsetMs;
  }

  /** Reads it anew. A reading across a stall would be off by half of the stall: the sharpest of a few counts. */
  async refresh(): Promise<void> {
    let best = await this.#reading();
    for (let readings = 1; readings < MAX_READINGS && best.roundTripMs > SHARP_MS; readings++) {
      const next = await this.#reading();
      if (next.roundTripMs < best.roundTripMs) best = next;
    }
    this.#offsetMs = best.offsetMs;
  }

  async #reading(): Promise<{ offsetMs: number; roundTripMs: number }> {
    const before = performance.now();
    const [seconds, micros] = await this.#redis.time();
    const after = performance.now();
    const redisMs = Number(seconds) * 1_000 + Number(micros) / 1_000;
    return { offsetMs: redisMs - (before + after) / 2, roundTripMs: after - before };
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
