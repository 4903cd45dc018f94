import { toAppError } from '@embergate/contracts/errors.ts';
import type { RunningCluster } from '@embergate/testing/running-cluster.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { setTimeout as wait } from 'node:timers/promises';
import { MARKED_FOLDER, MARKER, type ProjectState } from './projects.ts';

/** What a search can see of a collection. */
export type Seen = ProjectState | 'nothing' | 'mixed';

export interface SearchCounts {
  answered: number;
  /** While the gateway was being started again: nobody was there to answer. */
  unreachable: number;
  /** While the store was being started again. */
  storeAway: number;
  failed: string[];
  /** States in an order that no publication explains. */
  wrong: string[];
}

interface Watched {
  collection: string;
  from: Seen;
  to: ProjectState;
  /** Rows that only one of the two states has. */
  counts: Record<ProjectState, number>;
}

const ALL = 100_000;
const REST_MS = 50;

/**
 * Searches one collection without a pause while a run goes on: through the gateway, by full text and by vector in turn, and in the
 * store itself, where every row of a state must be found or none. Old, then new, and never old again.
 */
export class SearchWatch {
  readonly counts: SearchCounts = { answered: 0, unreachable: 0, storeAway: 0, failed: [], wrong: [] };
  readonly #cluster: RunningCluster;
  readonly #store: VectorStore;
  #watched: Watched | undefined;
  #latest: Seen | undefined;
  #loop: Promise<void> | undefined;
  #storeAway = { since: Infinity, until: -Infinity };

  constructor(cluster: RunningCluster, store: VectorStore) {
    this.#cluster = cluster;
    this.#store = store;
  }

  /** Searches that meet what is being killed meanwhile may fail by that. */
  async during(kind: string, strike: () => Promise<void>): Promise<void> {
    if (kind !== 'store') return strike();
    this.#storeAway = { since: performance.now(), until: Infinity };
    await strike();
    this.#storeAway.until = performance.now();
  }

  #isStoreAway(error: unknown, startedAt: number): boolean {
    const { since, until } = this.#storeAway;
    return toAppError(error).code === 'store_down' && startedAt <= until && performance.now() >= since;
  }

  begin(watched: Watched): void {
    this.#watched = watched;
    this.#latest = watched.from;
    this.#loop = this.#search(watched);
    // Whoever waits for its end is told; where something else fails first, that is what went wrong.
    this.#loop.catch(() => undefined);
  }

  /** To be called once the run has been published. */
  async end(): Promise<void> {
    const watched = this.#watched;
    this.#watched = undefined;
    await this.#loop;
    if (!watched) return;
    const last = await this.#inStore(watched);
    if (last !== watched.to) this.#wrong(watched, `${last} after the end`);
  }

  async #search(watched: Watched): Promise<void> {
    for (let round = 0; this.#watched === watched; round++) {
      const mode = round % 2 === 0 ? 'lexical' : 'hybrid';
      this.#note(watched, await this.#throughGateway(watched.collection, mode), `${mode} search`);
      this.#note(watched, await this.#inStore(watched), 'store');
      await wait(REST_MS);
    }
  }

  #note(watched: Watched, seen: Seen | undefined, by: string): void {
    if (seen === undefined) return;
    const isOld = seen === watched.from && this.#latest !== watched.to;
    if (isOld || seen === watched.to) this.#latest = seen;
    else this.#wrong(watched, `${by} saw ${seen} after ${this.#latest}`);
  }

  #wrong({ collection, from, to }: Watched, what: string): void {
    const line = `${collection} from ${from} to ${to}: ${what}`;
    // Each one once: a search comes every few milliseconds.
    if (!this.counts.wrong.includes(line)) this.counts.wrong.push(line);
  }

  async #throughGateway(collection: string, mode: 'lexical' | 'hybrid'): Promise<Seen | undefined> {
    const query = Object.values(MARKER).join(' ');
    const startedAt = performance.now();
    try {
      const { results } = await (this.#cluster.clients[0] as { search: SearchCall }).search({
        query,
        collection,
        mode,
        limit: 100,
        filter: { path: `${MARKED_FOLDER}/**` },
      });
      this.counts.answered += 1;
      return seenIn(results.map(({ text }) => text));
    } catch (error) {
      const { code, message } = toAppError(error);
      if (code === 'collection_not_found') return 'nothing';
      if (code === 'gateway_unreachable') this.counts.unreachable += 1;
      else if (this.#isStoreAway(error, startedAt)) this.counts.storeAway += 1;
      else this.counts.failed.push(`${code}: ${message}`);
      return undefined;
    }
  }

  async #inStore({ collection, counts }: Watched): Promise<Seen | undefined> {
    const startedAt = performance.now();
    try {
      const words = lexicalText(Object.values(MARKER).join(' '));
      const found = await this.#store.searchLexical(collection, words, { limit: ALL, filter: {} });
      const seen = seenIn(found.map(({ text }) => text));
      return seen === 'before' || seen === 'after' ? (found.length === counts[seen] ? seen : 'mixed') : seen;
    } catch (error) {
      if (toAppError(error).code === 'collection_not_found') return 'nothing';
      if (this.#isStoreAway(error, startedAt)) return undefined;
      throw error;
    }
  }
}

type SearchCall = RunningCluster['clients'][number]['search'];

function seenIn(texts: readonly string[]): Seen {
  const states = (['before', 'after'] as const).filter((state) =>
    texts.some((text) => text.includes(MARKER[state])),
  );
  if (states.length > 1) return 'mixed';
  return states[0] ?? 'nothing';
}
