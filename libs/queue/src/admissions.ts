import type { Lane, TierName } from '@embergate/contracts/tiers.ts';
import { breakerRecordSchema, CLOSED, type BreakerRecord } from '@embergate/routing/breaker.ts';
import type { RunningBatch, TierLoad } from '@embergate/routing/tier-load.ts';
import { queueDown, type Redis } from './connection.ts';
import { SpaceKeys } from './names.ts';
import { parseJson } from './parse-json.ts';

/**
 * A lane's backlog is the sum of its reservations: a hash of tokens by job, a sorted set of expiry times, and their
 * total, which only these scripts change, all three at once. Whoever ends a job releases it, any number of times; what
 * nobody releases, because its gateway and its worker were killed, expires. Times are Redis's own. A job that is reserved
 * again, because the answer to the first call was lost, counts once.
 */
export const RELEASE_LUA = `
local function release(keys, id)
  local tokens = redis.call('HGET', keys[1], id)
  if not tokens then return 0 end
  redis.call('HDEL', keys[1], id)
  redis.call('ZREM', keys[2], id)
  if redis.call('HLEN', keys[1]) == 0 then redis.call('DEL', keys[3])
  else redis.call('DECRBY', keys[3], tokens) end
  return 1
end
`;
/** KEYS tokens, expiry, total, batches, breakers; ARGV id, tokens, ttl ms, most tokens, tier, breaker as it was known or 'any'. */
const RESERVE = `${RELEASE_LUA}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)) do release(KEYS, id) end
release(KEYS, ARGV[1])
local total = tonumber(redis.call('GET', KEYS[3]) or '0')
local breaker = redis.call('HGET', KEYS[5], ARGV[5]) or ''
local admitted = 0
if ARGV[1] ~= '' and total <= tonumber(ARGV[4]) and (ARGV[6] == 'any' or breaker == ARGV[6]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
  redis.call('INCRBY', KEYS[3], ARGV[2])
  admitted = 1
end
return {admitted, total, breaker, redis.call('HGETALL', KEYS[4])}
`;
/** KEYS tokens, expiry, total; ARGV id. */
const RELEASE = `${RELEASE_LUA} return release(KEYS, ARGV[1])`;

type Reply = [admitted: number, total: number, breaker: string, batches: string[]];
interface Scripts {
  embergateReserve: (...args: (string | number)[]) => Promise<Reply>;
  embergateRelease: (...args: string[]) => Promise<number>;
}

export interface Reservation {
  tier: TierName;
  lane: Lane;
  jobId: string;
  tokens: number;
  /** After this nobody waits for the answer, in milliseconds from now. */
  ttlMs: number;
  /** Refused where more tokens are reserved already. */
  maxReservedTokens: number;
  /** Refused where the breaker's record is another one now; null where it does not matter. */
  breakerText: string | null;
}

/** What the tiers of one space have been promised, shared by all senders and workers. */
export class Admissions {
  readonly #redis: Redis & Scripts;
  readonly #keys: SpaceKeys;

  constructor(redis: Redis, space: string) {
    this.#keys = new SpaceKeys(space);
    redis.defineCommand('embergateReserve', { numberOfKeys: 5, lua: RESERVE });
    redis.defineCommand('embergateRelease', { numberOfKeys: 3, lua: RELEASE });
    this.#redis = redis as Redis & Scripts;
  }

  /**
   * Checks and reserves in one step, so that gateways that decide at the same moment do not herd.
   * @returns the tier's load as it was just before.
   * @throws AppError `queue_down`.
   */
  async reserve(wanted: Reservation): Promise<{ admitted: boolean; load: TierLoad }> {
    const { tier, lane, jobId, tokens, ttlMs, maxReservedTokens, breakerText } = wanted;
    const most = Math.min(maxReservedTokens, Number.MAX_SAFE_INTEGER);
    const args = [jobId, tokens, Math.ceil(ttlMs), most, tier, breakerText ?? 'any'];
    try {
      const reply = await this.#redis.embergateReserve(...this.#keysOf(tier, lane), ...args);
      return { admitted: reply[0] === 1, load: parseLoad(reply) };
    } catch (error) {
      throw queueDown(error);
    }
  }

  /** @throws AppError `queue_down`. */
  async load(tier: TierName, lane: Lane): Promise<TierLoad> {
    const nothing = { jobId: '', tokens: 0, ttlMs: 0, maxReservedTokens: 0, breakerText: '' };
    return (await this.reserve({ tier, lane, ...nothing })).load;
  }

  /** Gives back what a job reserved; a second time does nothing. */
  async release({ tier, lane, jobId }: Pick<Reservation, 'tier' | 'lane' | 'jobId'>): Promise<void> {
    await this.#redis.embergateRelease(...this.#keysOf(tier, lane).slice(0, 3), jobId);
  }

  /** Whether somebody still waits for the job's answer. */
  async holds({ tier, lane, jobId }: Pick<Reservation, 'tier' | 'lane' | 'jobId'>): Promise<boolean> {
    return (await this.#redis.hexists(this.#keys.reservations(tier, lane).tokens, jobId)) === 1;
  }

  /** Tells gateways what a worker computes now, or that it is idle (`null`). */
  async setBatch(
    tier: TierName,
    workerId: string,
    batch: Omit<RunningBatch, 'workerId'> | null,
  ): Promise<void> {
    const key = this.#keys.batches(tier);
    if (batch) await this.#redis.hset(key, workerId, `${Math.round(batch.endsAt)}:${batch.queryTokens}`);
    else await this.#redis.hdel(key, workerId);
  }

  #keysOf(tier: TierName, lane: Lane): string[] {
    const { tokens, expiry, total } = this.#keys.reservations(tier, lane);
    return [tokens, expiry, total, this.#keys.batches(tier), this.#keys.breakers];
  }
}

function parseLoad([, total, breakerText, flat]: Reply): TierLoad {
  const batches: RunningBatch[] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) {
    const [endsAt = 0, queryTokens = 0] = String(flat[at + 1])
      .split(':')
      .map(Number);
    batches.push({ workerId: String(flat[at]), endsAt, queryTokens });
  }
  return { reservedTokens: total, batches, breaker: parseBreaker(breakerText), breakerText };
}

/** What cannot be read counts as closed: the local detectors open it again if need be. */
function parseBreaker(text: string): BreakerRecord {
  const parsed = breakerRecordSchema.safeParse(parseJson(text));
  return parsed.success ? parsed.data : CLOSED;
}
