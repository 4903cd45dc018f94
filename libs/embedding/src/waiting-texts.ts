import type { Lane } from '@embergate/contracts/tiers.ts';
import { predictMs, tokensWithin, type Fit } from '@embergate/routing/fit.ts';
import { QUERY_BATCH_TOKENS } from '@embergate/routing/tier-view.ts';
import type { EmbedRequest, Item } from './embed-request.ts';
import { countThatFits } from './padded-tokens.ts';
import { takeAlike } from './take-alike.ts';

export interface Batch {
  lane: Lane;
  items: readonly Item[];
}

/** What one batch may take at most, in predicted milliseconds and padded tokens. */
export interface BatchBounds {
  bulkMs: number;
  bulkTokens: number;
  queryMs: number;
  /** Tokens that a text costs, where each is computed alone; not there where a batch is padded to its longest text. */
  costAlone?: ((ids: Uint32Array) => number) | undefined;
}

/** How long a bulk text lets longer ones pass. */
const BULK_PATIENCE_MS = 5_000;
/** Bulk work gets this share of the model's time at least, so that a flood of queries never starves it. */
const BULK_FLOOR = 0.05;

/**
 * The texts that wait for a batch, and which of them make the next one.
 *
 * Queries go first. Bulk batches are bounded in time, as a query that arrives in the middle of one waits for its end, unless the
 * model computes it in parts, or elsewhere.
 * The parts of a batch that failed go before what came later in their lane; only after each failure does one batch of what
 * came later run in between, so that nobody waits for the whole search for a text that ends the model's process.
 */
export class WaitingTexts {
  readonly #bounds: BatchBounds;
  readonly #lanes: Record<Lane, Item[]> = {
    query: [],
    /** Sorted by length, so that a batch holds texts of like lengths and pads little. */
    bulk: [],
  };
  /** Parts of batches that failed: batches to be made, each as it is. */
  readonly #again: Record<Lane, Item[][]> = { query: [], bulk: [] };
  readonly #yields: Record<Lane, boolean> = { query: false, bulk: false };
  #queryMsSinceBulk = 0;

  constructor(bounds: BatchBounds) {
    this.#bounds = bounds;
  }

  get isEmpty(): boolean {
    return !this.has('query') && !this.has('bulk');
  }

  has(lane: Lane): boolean {
    return this.#lanes[lane].length + this.#again[lane].length > 0;
  }

  /** Parts of batches that failed. */
  hasFailed(lane: Lane): boolean {
    return this.#again[lane].length > 0;
  }

  /** Those that have texts here. */
  requests(lane: Lane): Set<EmbedRequest> {
    return new Set([...this.#again[lane].flat(), ...this.#lanes[lane]].map(({ request }) => request));
  }

  add({ lane, items }: EmbedRequest): void {
    this.#lanes[lane].push(...items);
    if (lane === 'bulk') this.#lanes.bulk.sort((a, b) => a.ids.length - b.ids.length);
  }

  /** @param parts of a batch that failed. */
  giveBack(lane: Lane, parts: readonly Item[][]): void {
    this.#again[lane].unshift(...parts.filter((part) => part.length > 0));
    this.#yields[lane] = true;
  }

  remove(requests: ReadonlySet<EmbedRequest>): void {
    const others = (items: Item[]): Item[] => items.filter((item) => !requests.has(item.request));
    for (const lane of ['query', 'bulk'] as const) {
      this.#lanes[lane] = others(this.#lanes[lane]);
      this.#again[lane] = this.#again[lane].map(others).filter((part) => part.length > 0);
    }
  }

  /**
   * Takes out the next batch.
   * @param fit how long batches take now.
   * @param only of this lane; default: queries, but for the floor of bulk.
   */
  take(fit: Fit, only?: Lane): Batch | undefined {
    if (only ? !this.has(only) : this.isEmpty) return undefined;
    const lane = only ?? this.#nextLane(fit);
    const later = this.#lanes[lane];
    const yields = this.#yields[lane] && later.length > 0;
    this.#yields[lane] = false;
    const part = yields ? undefined : this.#again[lane].shift();
    return { lane, items: part ?? this.#takeThatFit(lane, fit) };
  }

  /** A batch took the model's time, whatever came of it. */
  spend(lane: Lane, ms: number): void {
    if (lane === 'bulk') this.#queryMsSinceBulk = 0;
    else if (this.has('bulk')) this.#queryMsSinceBulk += ms;
  }

  #nextLane(fit: Fit): Lane {
    if (!this.has('bulk')) return 'query';
    if (!this.has('query')) return 'bulk';
    const bulkMs = predictMs(fit, this.#budget('bulk', fit));
    return this.#queryMsSinceBulk * BULK_FLOOR >= bulkMs * (1 - BULK_FLOOR) ? 'bulk' : 'query';
  }

  /** In padded tokens. */
  #budget(lane: Lane, fit: Fit): number {
    return lane === 'query'
      ? Math.min(tokensWithin(fit, this.#bounds.queryMs), QUERY_BATCH_TOKENS)
      : Math.min(tokensWithin(fit, this.#bounds.bulkMs), this.#bounds.bulkTokens);
  }

  #takeThatFit(lane: Lane, fit: Fit): Item[] {
    const most = this.#budget(lane, fit);
    return lane === 'query' ? this.#takeQueries(most, fit) : this.#takeBulk(most);
  }

  /** The oldest, and those like it; or, where nothing is padded, those that came next. */
  #takeQueries(most: number, fit: Fit): Item[] {
    const { query } = this.#lanes;
    if (this.#bounds.costAlone) return query.splice(0, this.#countWithin(query, most));
    const taken = takeAlike(query, { most, fit, lengthOf: ({ ids }) => ids.length });
    const isTaken = new Set(taken);
    this.#lanes.query = query.filter((item) => !isTaken.has(item));
    return taken;
  }

  /**
   * The longest and those next in length: what is left at the end is short, and pads little. A text that has waited for
   * long is the first of its batch, as longer ones may come without end.
   */
  #takeBulk(most: number): Item[] {
    const { bulk } = this.#lanes;
    const oldest = bulk.reduce((first, item) =>
      item.request.submittedAt < first.request.submittedAt ? item : first,
    );
    const hasWaited = performance.now() - oldest.request.submittedAt > BULK_PATIENCE_MS;
    const end = hasWaited ? bulk.indexOf(oldest) + 1 : bulk.length;
    const longestFirst = bulk.slice(0, end).reverse();
    const count = this.#countWithin(longestFirst, most);
    return bulk.splice(end - count, count);
  }

  /** How many from the front a batch of so many tokens holds; one at least. */
  #countWithin(items: readonly Item[], most: number): number {
    const { costAlone } = this.#bounds;
    if (!costAlone)
      return countThatFits(
        items.map(({ ids }) => ids),
        most,
      );
    let left = most;
    const end = items.findIndex(({ ids }, at) => (left -= costAlone(ids)) < 0 && at > 0);
    return end === -1 ? items.length : end;
  }
}
