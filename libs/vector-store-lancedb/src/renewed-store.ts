import { isPaged } from '@embergate/vector-store/paged-methods.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';

interface Opened {
  store: VectorStore;
  /** Calls that have begun and not ended. */
  calls: number;
  /** Upserts so far. */
  upserts: number;
  /** Writes that have begun and not ended. */
  readonly writing: Set<Promise<unknown>>;
  isRetired: boolean;
}

const begin = (store: VectorStore): Opened => ({
  store,
  calls: 0,
  upserts: 0,
  writing: new Set(),
  isRetired: false,
});

/** What takes turns within a store: two stores would be in each other's way, and do it again and again. */
const WRITES: ReadonlySet<string | symbol> = new Set<keyof VectorStore>([
  'upsertRows',
  'markRemoved',
  'clearRemovedMarks',
  'deleteRows',
  'optimize',
  'dropCollection',
  'dropSuccessor',
  'replaceBySuccessor',
]);

/**
 * A store that is opened anew after every so many upserts, when no write to it is under way, and closed when the last call to it has ended.
 * LanceDB's connection keeps something of every version that it has written (0.39: after 700 writes of 256 rows 0.4 GB, whatever its caches may
 * hold), and gives it back when it is closed. For who writes much; a reader has no use for it.
 */
export async function createRenewedStore(
  open: () => Promise<VectorStore>,
  { upserts = 64 }: { upserts?: number } = {},
): Promise<VectorStore> {
  const first = await open();
  const stores = new RenewedStores(open, { first, upserts });
  return new Proxy(first, {
    get(_first, name) {
      if (name === 'close') return () => stores.close();
      const member: unknown = Reflect.get(first, name, first);
      if (typeof member !== 'function') return member;
      return isPaged(name)
        ? (...args: unknown[]) => stores.read(name, args)
        : (...args: unknown[]) => stores.call(name, args);
    },
  });
}

class RenewedStores {
  readonly #open: () => Promise<VectorStore>;
  readonly #upserts: number;
  #current: Opened;
  #renewing: Promise<void> | undefined;

  constructor(open: () => Promise<VectorStore>, { first, upserts }: { first: VectorStore; upserts: number }) {
    this.#open = open;
    this.#upserts = upserts;
    this.#current = begin(first);
  }

  async call(name: string | symbol, args: unknown[]): Promise<unknown> {
    const isWrite = WRITES.has(name);
    if (isWrite) for (let due = this.#renewal(); due; due = this.#renewal()) await due;
    const opened = this.#taken();
    if (name === 'upsertRows') opened.upserts += 1;
    let answer: Promise<unknown> | undefined;
    try {
      answer = apply(opened, name, args) as Promise<unknown>;
      if (isWrite) opened.writing.add(answer);
      return await answer;
    } finally {
      if (answer) opened.writing.delete(answer);
      await this.#end(opened);
    }
  }

  async *read(name: string | symbol, args: unknown[]): AsyncGenerator<unknown, void, undefined> {
    const opened = this.#taken();
    try {
      yield* apply(opened, name, args) as AsyncIterable<unknown>;
    } finally {
      await this.#end(opened);
    }
  }

  async close(): Promise<void> {
    await this.#renewing;
    await this.#current.store.close();
  }

  #taken(): Opened {
    this.#current.calls += 1;
    return this.#current;
  }

  /** The one that is due, or under way. */
  #renewal(): Promise<void> | undefined {
    if (this.#current.upserts >= this.#upserts)
      this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    const old = this.#current;
    await Promise.allSettled(old.writing);
    this.#current = begin(await this.#open());
    old.isRetired = true;
    old.calls += 1;
    await this.#end(old);
  }

  async #end(opened: Opened): Promise<void> {
    opened.calls -= 1;
    if (opened.isRetired && opened.calls === 0) await opened.store.close();
  }
}

function apply({ store }: Opened, name: string | symbol, args: unknown[]): unknown {
  const method = Reflect.get(store, name, store) as (...given: unknown[]) => unknown;
  return method.apply(store, args);
}
