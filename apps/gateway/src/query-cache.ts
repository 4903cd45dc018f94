import type { CachedVector } from '@embergate/contracts/cached-vector.ts';
import type { InputType } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { LRUCache } from 'lru-cache';
import { createHash } from 'node:crypto';

/** What all gateways share. Neither call ever rejects, and `get` answers within milliseconds. */
export interface SharedVectorCache {
  get: (key: string) => Promise<CachedVector | null>;
  put: (key: string, value: CachedVector, ttlMs: number) => Promise<void>;
}

export type CacheLayer = 'local' | 'shared' | 'miss';

export interface QueryCacheOptions {
  shared: SharedVectorCache;
  /** Of the tiers that this deployment declares. */
  firstTier: TierName;
  /** Told once a look-up where it ended. */
  onLookup: (layer: CacheLayer) => void;
  /** Of this process's memory; default 32 MiB. */
  maxBytes?: number;
  /** Wall clock in milliseconds since the epoch. */
  now?: () => number;
}

const MAX_BYTES = 32 * 1024 * 1024;
/** Key, object and the list's own bookkeeping, beside the floats. */
const ENTRY_OVERHEAD_BYTES = 512;
const LIFE_MS = 24 * 60 * 60 * 1_000;
/** The first tier may be back any moment, and its vectors are the better ones. */
const DEGRADED_LIFE_MS = 60_000;

/** Two texts, input types or spaces never share a key; of the text itself the key tells nothing. */
export function queryCacheKey(space: string, inputType: InputType, text: string): string {
  // JSON tells where each part ends, and keeps halves of surrogate pairs apart that UTF-8 makes equal.
  const parts = JSON.stringify([space, inputType, text]);
  return createHash('sha256').update(parts).digest('hex');
}

/**
 * Embeddings of queries that were made before: in this process, then in what all gateways share. An entry lives from
 * when it was made, wherever it is read: 24 hours from the first declared tier, a minute from another.
 */
export class QueryCache {
  readonly #local: LRUCache<string, CachedVector>;
  readonly #options: QueryCacheOptions;
  readonly #now: () => number;

  constructor(options: QueryCacheOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#local = new LRUCache({
      maxSize: options.maxBytes ?? MAX_BYTES,
      sizeCalculation: ({ vector }) => vector.byteLength + ENTRY_OVERHEAD_BYTES,
    });
  }

  /**
   * `firstTierOnly`: an entry that another tier made is as good as none.
   * The vector is shared by all who ask for it: never write into it.
   */
  async get(key: string, { firstTierOnly }: { firstTierOnly: boolean }): Promise<CachedVector | null> {
    const usable = (entry: CachedVector | null | undefined): entry is CachedVector =>
      !!entry && this.#leftMs(entry) > 0 && (!firstTierOnly || this.#isFirst(entry));
    const local = this.#local.get(key);
    if (usable(local)) return this.#found(local, 'local');
    const shared = await this.#options.shared.get(key);
    if (!usable(shared)) return this.#found(null, 'miss');
    // A maker whose clock is ahead does not make it live longer.
    const entry = { ...shared, madeAt: Math.min(shared.madeAt, this.#now()) };
    this.#keep(key, entry);
    return this.#found(entry, 'shared');
  }

  /** Keeps what a tier has just made, here and for the other gateways. Waits for nothing. */
  put(key: string, made: Omit<CachedVector, 'madeAt'>): void {
    const entry = { ...made, madeAt: this.#now() };
    this.#keep(key, entry);
    void this.#options.shared.put(key, entry, this.#leftMs(entry));
  }

  #keep(key: string, entry: CachedVector): void {
    const kept = this.#local.peek(key);
    if (kept && this.#leftMs(kept) > this.#leftMs(entry)) return;
    const { vector } = entry;
    // A row of a larger answer would keep all of it in memory.
    const alone = vector.byteLength === vector.buffer.byteLength ? vector : vector.slice();
    this.#local.set(key, { ...entry, vector: alone });
  }

  #isFirst({ tier }: CachedVector): boolean {
    return tier === this.#options.firstTier;
  }

  /** Milliseconds until an entry is too old. */
  #leftMs(entry: CachedVector): number {
    return entry.madeAt + (this.#isFirst(entry) ? LIFE_MS : DEGRADED_LIFE_MS) - this.#now();
  }

  #found<T extends CachedVector | null>(entry: T, layer: CacheLayer): T {
    this.#options.onLookup(layer);
    return entry;
  }
}
