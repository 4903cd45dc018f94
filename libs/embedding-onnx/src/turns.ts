import type { Lane } from '@embergate/contracts/tiers.ts';

/** Between two parts of a batch another batch may go first. */
export type Part = 'part';

export interface Model {
  /** texts.length x dimensions, row by row; yields between the parts of a long computation. */
  embed: (texts: readonly Uint32Array[], lane: Lane) => AsyncGenerator<Part, Float32Array>;
}

export interface Turn {
  id: number;
  lane: Lane;
  /** One more part; `done` with the vectors. */
  next: () => Promise<IteratorResult<Part, Float32Array>>;
  /** What its parts have taken, in milliseconds. */
  ms: number;
}

/** Bulk work gets this share of the time while queries wait, so that it is never starved. */
const BULK_FLOOR = 0.05;

/** Batches under way, and whose part is computed next: a query's, but for the floor of bulk. */
export class Turns {
  readonly #lanes: Record<Lane, Turn[]> = { query: [], bulk: [] };
  #queryMs = 0;
  #bulkPartMs = 0;

  add(turn: Turn): void {
    this.#lanes[turn.lane].push(turn);
  }

  remove({ id, lane }: Turn): void {
    this.#lanes[lane] = this.#lanes[lane].filter((turn) => turn.id !== id);
  }

  /** The first of its lane: batches of one lane are computed one after the other. */
  next(): Turn | undefined {
    const [query] = this.#lanes.query;
    const [bulk] = this.#lanes.bulk;
    if (!query || !bulk) return query ?? bulk;
    return this.#queryMs * BULK_FLOOR >= this.#bulkPartMs * (1 - BULK_FLOOR) ? bulk : query;
  }

  /** A part has taken so long. */
  spend({ lane }: Turn, ms: number): void {
    if (lane === 'bulk') {
      this.#bulkPartMs = ms;
      this.#queryMs = 0;
    } else if (this.#lanes.bulk.length > 0) this.#queryMs += ms;
  }
}
