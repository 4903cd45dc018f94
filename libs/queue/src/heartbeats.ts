import {
  HEARTBEAT_INTERVAL_MS,
  HEARTBEATS_UNTIL_DEAD,
  heartbeatSchema,
  type Heartbeat,
} from '@embergate/contracts/tiers.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { setTimeout as wait } from 'node:timers/promises';
import type { Redis } from './connection.ts';
import { SpaceKeys, WORKERS_KEY } from './names.ts';
import { parseJson } from './parse-json.ts';
import type { RedisClock } from './redis-clock.ts';

const DEAD_AFTER_MS = HEARTBEAT_INTERVAL_MS * HEARTBEATS_UNTIL_DEAD;
/** Records of workers that died without a word are removed after this. */
const FORGET_AFTER_MS = 60_000;
const GOODBYE_MS = 500;
const MAX_UNANSWERED = 2;
const REFRESH_MS = HEARTBEAT_INTERVAL_MS / 2;
/** A gap this long between two answers of Redis is a stall of Redis, or of this process. */
const STALL_MS = 3 * REFRESH_MS;

/** Says every second that this worker lives, and what it can do. */
export class HeartbeatSource {
  readonly #redis: Redis;
  readonly #clock: RedisClock;
  readonly #describe: () => Omit<Heartbeat, 'at'>;
  #unanswered = 0;
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
    // While Redis is away, beats would pile up on a connection that forgets nothing.
    if (this.#unanswered >= MAX_UNANSWERED) return;
    this.#unanswered += 1;
    try {
      await this.#send();
    } finally {
      this.#unanswered -= 1;
    }
  }

  async #send(): Promise<void> {
    const beat: Heartbeat = { ...this.#describe(), at: this.#clock.now() };
    const pipeline = this.#redis.pipeline().hset(WORKERS_KEY, beat.workerId, JSON.stringify(beat));
    // Outlives the workers: how many of them a load needs is asked when there is none, too.
    if (beat.fit) pipeline.hset(new SpaceKeys(beat.space).fits, beat.tier, JSON.stringify(beat.fit));
    await pipeline.exec();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const { workerId, tier, space } = this.#describe();
    const goodbye = forget(this.#redis, { workerId, tier, space }).catch(() => undefined);
    // Politeness, not a duty: without it the worker counts as dead three beats later.
    await Promise.race([goodbye, wait(GOODBYE_MS, undefined, { ref: false })]);
  }
}

/**
 * The workers that live, as this process last read them. While Redis itself is silent, no worker can be heard: they are
 * judged as of when it was last heard, and once it is back, for one beat longer, those count as living that did then. So a
 * stall of Redis does not look like the death of everyone.
 */
export class HeartbeatWatch {
  readonly #redis: Redis;
  readonly #clock: RedisClock;
  readonly #log: Logger;
  #beats: Heartbeat[] = [];
  #heardAt = -Infinity;
  /** The same moment in Redis time. */
  #heardNow = -Infinity;
  /** Until then (performance.now()) those count as living that did when Redis fell silent. */
  #heldUntil = -Infinity;
  #livingBeforeStall: ReadonlySet<string> = new Set();
  #refreshing = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(redis: Redis, clock: RedisClock, log: Logger) {
    this.#redis = redis;
    this.#clock = clock;
    this.#log = log;
  }

  async start(): Promise<void> {
    await this.refresh().catch(() => undefined);
    this.#timer = setInterval(() => void this.#refreshOnce(), REFRESH_MS);
  }

  /** One at a time: while Redis hangs, they would pile up. */
  async #refreshOnce(): Promise<void> {
    if (this.#refreshing) return;
    this.#refreshing = true;
    await this.refresh().catch(() => undefined);
    this.#refreshing = false;
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
      await forget(this.#redis, { workerId, ...parsed.data });
    }
    const heardAt = performance.now();
    const silentMs = heardAt - this.#heardAt;
    if (silentMs > STALL_MS && silentMs < Infinity) {
      this.#livingBeforeStall = new Set(this.#livingAt(now - silentMs).map(({ workerId }) => workerId));
      this.#heldUntil = heardAt + HEARTBEAT_INTERVAL_MS + REFRESH_MS;
    }
    this.#beats = beats;
    this.#heardAt = heardAt;
    this.#heardNow = now;
  }

  /** Workers with a beat in the last three seconds before Redis was last heard. */
  living(): Heartbeat[] {
    return this.#livingAt(Math.min(this.#clock.now(), this.#heardNow + REFRESH_MS));
  }

  /** Workers that were heard of in the minute before, and not in those three seconds. */
  silent(): Heartbeat[] {
    const living = new Set(this.living());
    return this.#beats.filter((beat) => !living.has(beat));
  }

  #livingAt(now: number): Heartbeat[] {
    const isHeld = performance.now() < this.#heldUntil;
    return this.#beats.filter(
      (beat) => now - beat.at <= DEAD_AFTER_MS || (isHeld && this.#livingBeforeStall.has(beat.workerId)),
    );
  }

  /** False when Redis has been silent for so long that nobody knows who lives. */
  isKnown(): boolean {
    return performance.now() - this.#heardAt <= DEAD_AFTER_MS;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

type Forgotten = Pick<Heartbeat, 'workerId'> & Partial<Pick<Heartbeat, 'tier' | 'space'>>;

async function forget(redis: Redis, { workerId, tier, space }: Forgotten): Promise<void> {
  await redis.hdel(WORKERS_KEY, workerId);
  if (tier && space) await redis.hdel(new SpaceKeys(space).batches(tier), workerId);
}
