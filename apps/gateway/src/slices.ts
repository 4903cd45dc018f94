import { setImmediate as nextTurn } from 'node:timers/promises';

/** So long, in milliseconds, a list keeps everything else in this process waiting at a time. */
const SLICE_MS = 10;

/** When the event loop has turned for whoever asked last. */
let turned = Promise.resolve();

/**
 * Does `work` for each item of a list, in slices: between two of them the event loop turns, and searches get on. Of lists at
 * the same time each turn has one slice, so that many keep nobody waiting for longer than one does.
 * @param check called before every slice; what it throws ends the work.
 */
export async function inSlices<T>(
  items: readonly T[],
  work: (item: T, at: number) => void,
  check: () => void,
): Promise<void> {
  for (let at = 0; at < items.length;) {
    turned = turned.then(() => nextTurn());
    await turned;
    check();
    const until = performance.now() + SLICE_MS;
    do work(items[at] as T, at++);
    while (at < items.length && performance.now() < until);
  }
}
