import { isPaged } from '@embergate/vector-store/paged-methods.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';

interface Opened {
  store: VectorStore;
  /** Calls that have begun and not ended. */
  calls: number;
  writes: number;
  isRetired: boolean;
}

const begin = (store: VectorStore): Opened => ({ store, calls: 0, writes: 0, isRetired: false });

/**
 * A store that is opened anew after every so many upserts, and closed when the last call to it has ended: LanceDB's connection keeps
 * something of every version that it has written (0.39: after 700 writes of 256 rows 0.4 GB, whatever its caches may hold), and gives it
 * back when it is closed. For who writes much; a reader has no use for it.
 */
export async function createRenewedStore(
  open: () => Promise<VectorStore>,
  { writes = 64 }: { writes?: number } = {},
): Promise<VectorStore> {
  const first = await open();
  const stores = new RenewedStores(open, { first, writes });
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
  readonly #writes: number;
  #current: Opened;
  #renewing: Promise<void> | undefined;

  constructor(open: () => Promise<VectorStore>, { first, writes }: { first: VectorStore; writes: number }) {
    this.#open = open;
    this.#writes = writes;
    this.#current = begin(first);
  }

  async call(name: string | symbol, args: unknown[]): Promise<unknown> {
    const opened = await this.#taken(name === 'upsertRows');
    try {
      return await apply(opened, name, args);
    } finally {
      await this.#end(opened);
    }
  }

  async *read(name: string | symbol, args: unknown[]): AsyncGenerator<unknown, void, undefined> {
    const opened = await this.#taken(false);
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

  async #taken(isWrite: boolean): Promise<Opened> {
    if (isWrite && this.#current.writes >= this.#writes)
      this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    if (isWrite) await this.#renewing;
    this.#current.calls += 1;
    if (isWrite) this.#current.writes += 1;
    return this.#current;
  }

  async #renew(): Promise<void> {
    const old = this.#current;
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
