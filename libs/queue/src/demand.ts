import type { TierName } from '@embergate/contracts/tiers.ts';
import { fitSchema } from '@embergate/contracts/tiers.ts';
import type { Demand } from '@embergate/routing/required-workers.ts';
import type { Fit } from '@embergate/routing/fit.ts';
import type { Redis } from './connection.ts';
import { SpaceKeys } from './names.ts';
import { parseJson } from './parse-json.ts';
import type { RedisClock } from './redis-clock.ts';

const BUCKET_MS = 5_000;
const SHORT_BUCKETS = 2;
const LONG_BUCKETS = 12;
/** A wish for a worker is said again this often, and forgotten after this. */
const WANT_AGAIN_MS = 5_000;
const WANTED_MS = 30_000;
const KEEP_SECONDS = 300;
/** A bucket is complete when all gateways have written what they counted in it. */
const SETTLE_MS = 1_000;

export type QueryDemand = Omit<Demand, 'bulkWaits'>;

/**
 * Tokens that queries asked of each tier of a space, counted in Redis in buckets of five seconds. Every gateway reads the same
 * complete buckets and so derives the same number of workers from them.
 */
export class DemandLedger {
  readonly #redis: Redis;
  readonly #clock: RedisClock;
  readonly #keys: SpaceKeys;
  readonly #wantedAt = new Map<TierName, number>();
  #unwritten = new Map<string, number>();

  constructor(redis: Redis, clock: RedisClock, space: string) {
    this.#redis = redis;
    this.#clock = clock;
    this.#keys = new SpaceKeys(space);
  }

  record(tier: TierName, tokens: number): void {
    const key = this.#key(tier, this.#bucket());
    this.#unwritten.set(key, (this.#unwritten.get(key) ?? 0) + tokens);
  }

  /** Writes what was recorded since the last time: once in a while, not with every query. */
  async flush(): Promise<void> {
    if (this.#unwritten.size === 0) return;
    const written = this.#unwritten;
    this.#unwritten = new Map();
    const pipeline = this.#redis.pipeline();
    for (const [key, tokens] of written) pipeline.incrby(key, tokens).expire(key, KEEP_SECONDS);
    await pipeline.exec();
  }

  /** Over the last complete buckets. */
  async read(tier: TierName): Promise<QueryDemand> {
    const incomplete = this.#bucket(SETTLE_MS);
    const keys = Array.from({ length: LONG_BUCKETS }, (_, ago) => this.#key(tier, incomplete - 1 - ago));
    const tokens = (await this.#redis.mget(keys)).map(Number);
    const rate = (buckets: number): number =>
      (tokens.slice(0, buckets).reduce((sum, count) => sum + count, 0) / (buckets * BUCKET_MS)) * 1_000;
    return { shortTokensPerSecond: rate(SHORT_BUCKETS), longTokensPerSecond: rate(LONG_BUCKETS) };
  }

  /** Says that bulk work would go to the tier, had it a worker: what waits nowhere would otherwise not be seen. */
  wantBulk(tier: TierName): void {
    const now = performance.now();
    if (now - (this.#wantedAt.get(tier) ?? -Infinity) < WANT_AGAIN_MS) return;
    this.#wantedAt.set(tier, now);
    this.#redis.set(this.#keys.bulkWanted(tier), '1', 'PX', WANTED_MS).catch(() => undefined);
  }

  async isBulkWanted(tier: TierName): Promise<boolean> {
    return (await this.#redis.exists(this.#keys.bulkWanted(tier))) === 1;
  }

  /** How fast the tier's workers were when there were any; null if there never were. */
  async lastKnownFit(tier: TierName): Promise<Fit | null> {
    const text = await this.#redis.hget(this.#keys.fits, tier);
    const parsed = fitSchema.safeParse(parseJson(text ?? ''));
    return parsed.success ? parsed.data : null;
  }

  #bucket(msAgo = 0): number {
    return Math.floor((this.#clock.now() - msAgo) / BUCKET_MS);
  }

  #key(tier: TierName, bucket: number): string {
    return `${this.#keys.demand(tier)}:${bucket}`;
  }
}
