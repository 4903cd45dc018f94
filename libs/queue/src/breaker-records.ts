import { TIER_NAMES, type TierName } from '@embergate/contracts/tiers.ts';
import type { BreakerRecord } from '@embergate/routing/breaker.ts';
import { queueDown, type Redis } from './connection.ts';
import { SpaceKeys } from './names.ts';

/** KEYS breakers; ARGV tier, text as it was known, text as it shall be, channel. */
const CHANGE = `
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[1])
return 1
`;
interface Scripts {
  embergateChangeBreaker: (...args: string[]) => Promise<number>;
}

/** The shared records of a space's breakers: written by compare-and-set, and told to all gateways at once. */
export class BreakerRecords {
  readonly #redis: Redis & Scripts;
  readonly #subscriber: Redis;
  readonly #keys: SpaceKeys;

  /**
   * @param redis is duplicated: a connection that listens can do nothing else.
   * @param onChange told of each change, and of every tier when the connection is back: what changed meanwhile was not
   * heard.
   */
  constructor(redis: Redis, space: string, onChange: (tier: TierName) => void) {
    this.#keys = new SpaceKeys(space);
    redis.defineCommand('embergateChangeBreaker', { numberOfKeys: 1, lua: CHANGE });
    this.#redis = redis as Redis & Scripts;
    this.#subscriber = redis.duplicate({
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      lazyConnect: false,
      autoResubscribe: false,
    });
    this.#subscriber.on('error', () => undefined); // the connection it was duplicated from logs outages
    this.#subscriber.on('message', (_channel, tier) => {
      const known = TIER_NAMES.find((name) => name === tier);
      if (known) onChange(known);
    });
    const listen = async (): Promise<void> => {
      await this.#subscriber.subscribe(this.#keys.breakerChannel);
      for (const tier of TIER_NAMES) onChange(tier);
    };
    this.#subscriber.on('ready', () => void listen().catch(() => undefined)); // it failed: the next one is coming
  }

  /**
   * @param knownText the record as it was read; '' for none.
   * @returns false when somebody else changed it in between.
   * @throws AppError `queue_down`.
   */
  async change(tier: TierName, knownText: string, next: BreakerRecord): Promise<boolean> {
    try {
      const text = JSON.stringify(next);
      const { breakers, breakerChannel } = this.#keys;
      return (
        (await this.#redis.embergateChangeBreaker(breakers, tier, knownText, text, breakerChannel)) === 1
      );
    } catch (error) {
      throw queueDown(error);
    }
  }

  close(): void {
    this.#subscriber.disconnect();
  }
}
