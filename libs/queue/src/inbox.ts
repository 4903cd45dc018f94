import { decodeEmbedReply, type EmbedReply } from '@embergate/contracts/embed-job.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { randomUUID } from 'node:crypto';
import type { Redis } from './connection.ts';
import { inboxKey } from './names.ts';

const BLOCK_MS = 5_000;
/** An inbox nobody reads goes away by itself. */
export const INBOX_TTL_MS = 60_000;
const RETRY_MS = 100;

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
  readonly #reader: Redis;
  readonly #log: Logger;
  readonly #waiters = new Map<string, Waiter>();
  #lastId: string | Buffer = '0-0';
  #stopped = false;
  #loop: Promise<void> | undefined;

  /** `redis` is duplicated: the blocking read needs a connection of its own. */
  constructor(redis: Redis, log: Logger) {
    this.#reader = redis.duplicate({
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      lazyConnect: false,
    });
    this.#reader.on('error', () => undefined); // the connection it was duplicated from logs outages
    this.#log = log;
  }

  start(): void {
    this.#loop ??= this.#readUntilStopped();
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
    this.#reader.disconnect();
    await this.#loop;
  }

  async #readUntilStopped(): Promise<void> {
    while (!this.#stopped) {
      try {
        // Not call('XREAD'): under RESP3 that returns another shape, which only the typed command evens out.
        const answer = await this.#reader.xreadBuffer(
          'COUNT',
          256,
          'BLOCK',
          BLOCK_MS,
          'STREAMS',
          this.key,
          this.#lastId,
        );
        const entries = (answer?.[0]?.[1] ?? []) as StreamEntry[];
        for (const entry of entries) this.#deliver(entry);
        if (entries.length > 0) await this.#reader.xtrim(this.key, 'MINID', String(this.#lastId));
      } catch (error) {
        if (this.#stopped) return;
        this.#log.debug({ err: error }, 'inbox read failed');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  #deliver([id, fields]: StreamEntry): void {
    this.#lastId = id;
    const frame = fields[1];
    if (!frame) return;
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
