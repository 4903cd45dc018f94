import {
  decodeAlignmentReference,
  encodeAlignmentReference,
  NO_REFERENCE,
  type AlignmentReference,
  type PublishedReference,
} from '@embergate/contracts/alignment.ts';
import { createHash } from 'node:crypto';
import type { Redis } from './connection.ts';
import { alignmentKey, alignmentTurnKey } from './names.ts';

/** What every space's variants are compared with, as gateways publish it and workers read it. It goes when nobody renews it. */
export class AlignmentReferences {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** Null: nobody has published one. `NO_REFERENCE`: it has been withdrawn. */
  version(space: string): Promise<string | null> {
    return this.#redis.hget(alignmentKey(space), 'version');
  }

  /** Null where there is none. @throws Error where it cannot be read. */
  async read(space: string): Promise<PublishedReference | null> {
    const [version, frame] = await this.#redis.hmgetBuffer(alignmentKey(space), 'version', 'frame');
    if (!version || !frame) return null;
    return { version: version.toString(), reference: decodeAlignmentReference(frame) };
  }

  /** Whether it is this process's turn to publish: of all that ask within `ms`, one. */
  async takeTurn(space: string, ms: number): Promise<boolean> {
    return (await this.#redis.set(alignmentTurnKey(space), '1', 'PX', ms, 'NX')) === 'OK';
  }

  /** Leaves the turn to the next that asks. */
  async leaveTurn(space: string): Promise<void> {
    await this.#redis.del(alignmentTurnKey(space));
  }

  /** @param ttlMs how long it is of use, in milliseconds. */
  async publish(space: string, reference: AlignmentReference, ttlMs: number): Promise<void> {
    const frame = encodeAlignmentReference(reference);
    const version = createHash('sha256').update(frame).digest('hex').slice(0, 16);
    const key = alignmentKey(space);
    await this.#redis.multi().hset(key, { version, frame }).pexpire(key, ttlMs).exec();
  }

  /** Says that there is nothing to be compared with any more: workers forget what they were compared with. */
  async withdraw(space: string, ttlMs: number): Promise<void> {
    const key = alignmentKey(space);
    await this.#redis.multi().del(key).hset(key, { version: NO_REFERENCE }).pexpire(key, ttlMs).exec();
  }
}
