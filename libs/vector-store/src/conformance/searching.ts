import { visiblePaths, type Stores } from './context.ts';

/** Searches without a pause until it is stopped, and returns what each search saw. */
export function keepSearching(stores: Stores): {
  next: () => Promise<void>;
  stop: () => Promise<string[][]>;
} {
  const seen: string[][] = [];
  let stopped = false;
  let current: Promise<void> = Promise.resolve();
  const loop = (async () => {
    while (!stopped) {
      current = visiblePaths(stores).then((paths) => void seen.push(paths));
      await current;
    }
  })();
  loop.catch(() => undefined);
  return {
    /** Resolves when a search that started after this call is done. */
    next: async () => {
      await current;
      await new Promise((resolve) => setImmediate(resolve));
      await current;
    },
    stop: async () => {
      stopped = true;
      await loop;
      return seen;
    },
  };
}
