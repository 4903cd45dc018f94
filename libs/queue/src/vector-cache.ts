import {
  decodeCachedVector,
  encodeCachedVector,
  type CachedVector,
} from '@embergate/contracts/cached-vector.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import type { Redis } from './connection.ts';
import { KEY_PREFIX } from './names.ts';

const VALUE_PREFIX = `${KEY_PREFIX}:vector:`;
/** Entries by the time they were put, by the time they expire, and by their bytes with the sum of all under ''. */
const BY_AGE_KEY = `${KEY_PREFIX}:vectors-by-age`;
const BY_EXPIRY_KEY = `${KEY_PREFIX}:vectors-by-expiry`;
const SIZES_KEY = `${KEY_PREFIX}:vectors-sizes`;

const MAX_BYTES = 64 * 1024 * 1024;
/** What the cache may take of a Redis that has a limit. It refuses jobs, too, once it is full. */
const MEMORY_SHARE = 1 / 8;
/** A limit can be changed while Redis runs. */
const LIMIT_VALID_MS = 60_000;
/** What an entry takes beside its bytes: its key four times and Redis's own bookkeeping. Measured; 64-digit keys. */
const ENTRY_OVERHEAD_BYTES = 768;
/** Redis does nothing else while the script runs, 8 us an entry: what expired in crowds goes over several puts. */
const MAX_REMOVED_A_PUT = 32;
/** A look-up that takes longer than this costs more than it can save. */
const GET_BOUND_MS = 50;
/** Vectors under way to Redis; more would only fill this process's memory while Redis is slow. */
const MAX_PUTS_IN_FLIGHT = 64;

/**
 * Stores an entry, counts it, and removes entries until the sum is within the cap: the expired, then the oldest.
 * Redis runs it as one step, so that the sum holds with any number of gateways. The value is written first: a Redis
 * that is full refuses a script at its first write only, and here nothing is counted before it.
 * The index goes when the last of its entries does.
 */
const PUT_SCRIPT = `
local value_key, by_age, by_expiry, sizes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, frame, prefix = ARGV[1], ARGV[2], ARGV[3]
local ttl, overhead, cap, left = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)

redis.call('SET', value_key, frame, 'PX', ttl)
local size = #frame + overhead
local sum = redis.call('HINCRBY', sizes, '', size - (redis.call('HGET', sizes, name) or 0))
redis.call('HSET', sizes, name, size)
redis.call('ZADD', by_age, micros, name)
redis.call('ZADD', by_expiry, now + ttl, name)

local function remove(entry)
  sum = redis.call('HINCRBY', sizes, '', -redis.call('HGET', sizes, entry))
  redis.call('HDEL', sizes, entry)
  redis.call('ZREM', by_age, entry)
  redis.call('ZREM', by_expiry, entry)
  redis.call('DEL', prefix .. entry)
  left = left - 1
end
for _, expired in ipairs(redis.call('ZRANGEBYSCORE', by_expiry, '-inf', now, 'LIMIT', 0, left)) do remove(expired) end
while sum > cap and left > 0 do remove(redis.call('ZRANGE', by_age, 0, 0)[1]) end
if sum > cap then remove(name) end

local last = redis.call('ZREVRANGE', by_expiry, 0, 0, 'WITHSCORES')[2]
for _, index in ipairs({ by_age, by_expiry, sizes }) do redis.call('PEXPIREAT', index, last) end
`;

type RedisWithPut = Redis & {
  embergatePutVector: (...keysAndArguments: (string | number | Buffer)[]) => Promise<null>;
};

/**
 * Query embeddings that all gateways share. It takes a bounded part of Redis's memory, and it is never the reason why
 * a query fails or waits: a Redis that is away, full or silent makes it empty.
 *
 *   answering --a look-up is overdue--> silent (neither asked nor told) --it is answered, or fails--> answering
 */
export class VectorCache {
  readonly #redis: RedisWithPut;
  readonly #log: Logger;
  readonly #getBoundMs: number;
  #overdue = 0;
  #putting = 0;
  #cap: { bytes: number; readAt: number } | undefined;

  /** `redis` should fail fast: what waits for a Redis that is away comes too late to be of use. */
  constructor(redis: Redis, log: Logger, getBoundMs = GET_BOUND_MS) {
    redis.defineCommand('embergatePutVector', { numberOfKeys: 4, lua: PUT_SCRIPT });
    this.#redis = redis as RedisWithPut;
    this.#log = log;
    this.#getBoundMs = getBoundMs;
  }

  /** Never rejects, and answers within 50 ms: null is "not there" as well as "not known". */
  async get(key: string): Promise<CachedVector | null> {
    if (this.#overdue > 0) return null;
    try {
      const frame = await this.#within(this.#redis.getBuffer(VALUE_PREFIX + key));
      return frame && decodeCachedVector(frame);
    } catch (error) {
      this.#log.debug({ err: error }, 'a cached vector could not be read');
      return null;
    }
  }

  /**
   * Keeps a vector for `ttlMs` milliseconds at most; the oldest make room for it. Never rejects.
   * A Redis that is away, full or slow does not get it.
   */
  async put(key: string, value: CachedVector, ttlMs: number): Promise<void> {
    const ttl = Math.floor(ttlMs);
    if (ttl < 1 || this.#overdue > 0 || this.#putting >= MAX_PUTS_IN_FLIGHT) return;
    this.#putting += 1;
    try {
      const cap = await this.#capBytes();
      const frame = encodeCachedVector(value);
      // It would drive out all others and then not fit.
      if (frame.byteLength + ENTRY_OVERHEAD_BYTES > cap) return;
      await this.#redis.embergatePutVector(
        ...[VALUE_PREFIX + key, BY_AGE_KEY, BY_EXPIRY_KEY, SIZES_KEY],
        ...[key, frame, VALUE_PREFIX],
        ...[ttl, ENTRY_OVERHEAD_BYTES, cap, MAX_REMOVED_A_PUT],
      );
    } catch (error) {
      this.#log.debug({ err: error }, 'a vector could not be cached');
    } finally {
      this.#putting -= 1;
    }
  }

  async #within(asked: Promise<Buffer | null>): Promise<Buffer | null> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, this.#getBoundMs, 'late');
    });
    const answer = await Promise.race([asked, late]).finally(() => clearTimeout(timer));
    if (answer !== 'late') return answer;
    // The queries that follow need not wait to learn the same.
    this.#overdue += 1;
    const answered = () => void (this.#overdue -= 1);
    void asked.then(answered, answered);
    return null;
  }

  /** INFO and not CONFIG, which hosted servers do not allow. */
  async #capBytes(): Promise<number> {
    if (this.#cap && performance.now() - this.#cap.readAt < LIMIT_VALID_MS) return this.#cap.bytes;
    const [, maxmemory] = /^maxmemory:(\d+)/m.exec(await this.#redis.info('memory')) ?? [];
    const limit = Number(maxmemory ?? 0);
    const bytes = limit > 0 ? Math.min(MAX_BYTES, Math.floor(limit * MEMORY_SHARE)) : MAX_BYTES;
    this.#cap = { bytes, readAt: performance.now() };
    return bytes;
  }
}
