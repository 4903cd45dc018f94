import type { ChunkStamp, VectorStore } from '@embergate/vector-store/store.ts';

interface Opened {
  store: VectorStore;
  /** Calls that have begun and not ended. */
  calls: number;
  writes: number;
  isRetired: boolean;
}

/**
 * A store that is opened anew after every so many upserts, and closed when the last call to it has ended: LanceDB's connection keeps
 * something of every version that it has written (0.39: after 700 writes of 256 rows 0.4 GB, whatever its caches may hold), and gives it
 * back when it is closed. For who writes much; a reader has no use for it.
 */
export async function createRenewedStore(
  open: () => Promise<VectorStore>,
  { writes = 64 }: { writes?: number } = {},
): Promise<VectorStore> {
  let current = begin(await open());
  let renewing: Promise<void> | undefined;

  const end = async (opened: Opened): Promise<void> => {
    opened.calls -= 1;
    if (opened.isRetired && opened.calls === 0) await opened.store.close();
  };
  const renew = async (): Promise<void> => {
    const old = current;
    current = begin(await open());
    old.isRetired = true;
    old.calls += 1;
    await end(old);
  };
  const taken = async (isWrite: boolean): Promise<Opened> => {
    if (isWrite && current.writes >= writes) renewing ??= renew().finally(() => (renewing = undefined));
    if (isWrite) await renewing;
    current.calls += 1;
    if (isWrite) current.writes += 1;
    return current;
  };
  async function* stamps(
    ...args: Parameters<VectorStore['stamps']>
  ): AsyncGenerator<ChunkStamp[], void, undefined> {
    const opened = await taken(false);
    try {
      yield* opened.store.stamps(...args);
    } finally {
      await end(opened);
    }
  }
  const close = async (): Promise<void> => {
    await renewing;
    await current.store.close();
  };
  return new Proxy(current.store, {
    get(first, name) {
      if (name === 'stamps') return stamps;
      if (name === 'close') return close;
      const isCall = typeof Reflect.get(first, name, first) === 'function';
      if (!isCall) return Reflect.get(first, name, first) as unknown;
      return async (...args: unknown[]): Promise<unknown> => {
        const opened = await taken(name === 'upsertRows');
        try {
          const call = Reflect.get(opened.store, name, opened.store) as (...given: unknown[]) => unknown;
          return await call.apply(opened.store, args);
        } finally {
          await end(opened);
        }
      };
    },
  });
}

const begin = (store: VectorStore): Opened => ({ store, calls: 0, writes: 0, isRetired: false });
