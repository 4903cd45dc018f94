import { decodeEmbedReply, type EmbedReply } from '@embergate/contracts/embed-job.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { randomUUID } from 'node:crypto';
import type { Redis } from './connection.ts';
import { inboxKey } from './names.ts';

const BLOCK_MS = 5_000;
/** An inbox that nobody reads goes away by itself, and takes no answer any more. */
const TTL_MS = 60_000;
const RETRY_MS = 100;
/** How often its life is renewed. */
const RENEWAL_MS = 10_000;
/** Entries that were read are removed so many at a time, and when nothing comes. */
const TRIM_ENTRIES = 64;
/** KEYS inbox; ARGV milliseconds. Workers write only into inboxes that are there. */
const OPEN = `
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XADD', KEYS[1], '*', 'opened', '1')
end
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
`;

type Waiter = (reply: EmbedReply) => void;
type StreamEntry = [id: Buffer, fields: Buffer[]];

/**
 * Where this process receives the answers to its jobs: one Redis stream, one blocking read for all of them.
 * A stream survives a reconnect, which pub/sub does not; and the answers are binary, which BullMQ's return values are not.
 *
 *   idle --start()--> reading --connection lost--> waiting --back--> reading --stop()--> stopped
 */
export class Inbox {
  readonly key = inboxKey(randomUUID());
  readonly #redis: Redis;
  readonly #reader: Redis;
  readonly #log: Logger;
  readonly #waiters = new Map<string, Waiter>();
  #lastId: string | Buffer = '0-0';
  #stopped = false;
  #renewal: NodeJS.Timeout | undefined;
  #loop: Promise<void> | undefined;

  /** `redis` is duplicated: the blocking read needs a connection of its own. */
  constructor(redis: Redis, log: Logger) {
    this.#reader = redis.duplicate({
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      lazyConnect: false,
    });
    this.#reader.on('error', () => undefined); // the connection it was duplicated from logs outages
    this.#redis = redis;
    this.#log = log;
  }

  /** Jobs that are sent on the same connection after this find the inbox open. */
  start(): void {
    if (this.#loop) return;
    this.#open();
    // A server that came back without its data has no inbox.
    this.#redis.on('ready', this.#open);
    this.#renewal = setInterval(this.#open, RENEWAL_MS);
    this.#loop = this.#readUntilStopped();
  }

  /** Calls `waiter` once with the reply to a job, unless it is forgotten before. */
  expect(jobId: string, waiter: Waiter): void {
    this.#waiters.set(jobId, waiter);
  }

  forget(jobId: string): void {
    this.#waiters.delete(jobId);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#renewal);
    this.#redis.off('ready', this.#open);
    this.#reader.disconnect();
    await this.#loop;
  }

  readonly #open = (): void => {
    this.#redis.eval(OPEN, 1, this.key, TTL_MS).catch((error: unknown) => {
      this.#log.debug({ err: error }, 'the inbox could not be opened');
    });
  };

  async #readUntilStopped(): Promise<void> {
    let unremoved = 0;
    while (!this.#stopped) {
      try {
        const entries = await this.#read();
        for (const entry of entries) this.#deliver(entry);
        unremoved += entries.length;
        if (unremoved < TRIM_ENTRIES && (entries.length > 0 || unremoved === 0)) continue;
        await this.#reader.xtrim(this.key, 'MINID', String(this.#lastId));
        unremoved = 0;
      } catch (error) {
        if (this.#stopped) return;
        this.#log.debug({ err: error }, 'inbox read failed');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async #read(): Promise<StreamEntry[]> {
    // Not call('XREAD'): under RESP3 that returns another shape, which only the typed command evens out.
    const from = ['STREAMS', this.key, this.#lastId] as const;
    const answer = await this.#reader.xreadBuffer('COUNT', 256, 'BLOCK', BLOCK_MS, ...from);
    return answer?.[0]?.[1] ?? [];
  }

  #deliver([id, fields]: StreamEntry): void {
    this.#lastId = id;
    const [name, frame] = fields;
    if (!frame || String(name) !== 'frame') return;
    let reply: EmbedReply;
    try {
      reply = decodeEmbedReply(frame);
    } catch (error) {
      this.#log.error({ err: error }, 'a reply could not be read');
      return;
    }
    const waiter = this.#waiters.get(reply.meta.id);
    this.#waiters.delete(reply.meta.id);
    // No waiter: the answer came after its deadline, or for a caller that left.
    waiter?.(reply);
  }
}
