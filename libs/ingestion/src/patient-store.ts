import { toAppError, type AppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { setTimeout as delay } from 'node:timers/promises';

export interface Patience {
  /** Ends all waiting. What is asked after it has aborted is tried once. */
  signal: AbortSignal;
  /** Told when a wait begins, with what the store said, and when the store answers again. */
  onWaiting: (failure: AppError | null) => void;
  /** False where a full store is a failure. Default: true. */
  waitsForSpace?: boolean;
  firstPauseMs?: number;
}

type PagedMethod = {
  [Name in keyof VectorStore]: VectorStore[Name] extends (...args: never[]) => AsyncIterable<unknown>
    ? Name
    : never;
}[keyof VectorStore];
/** All that give their answer in pages, or it does not compile. */
const PAGED_METHODS = { stamps: true, visibleRows: true, unembedded: true } satisfies Record<
  PagedMethod,
  true
>;

/** What somebody mends while the store has all that was written: an outage, a full disk, a key that it took before. */
export const STORE_AWAY: ReadonlySet<ErrorCode> = new Set([
  'store_down',
  'store_busy',
  'storage_full',
  'store_denied',
]);
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 15_000;
const GROWTH = 1.7;

/**
 * The store of one job: a call waits for as long as the store is away, full, or refuses a key that has written before, and is then made again, so that an outage costs
 * a run no vector. Calls may be made twice: each says what the state shall be. Readings in pages begin anew, and may bring a row twice.
 * What waiting does not help (another space, a limit of the server) is thrown at once.
 */
export function patientStore(store: VectorStore, patience: Patience): VectorStore {
  let hasWritten = false;
  const waitsFor = (code: ErrorCode): boolean => {
    if (code === 'storage_full') return patience.waitsForSpace ?? true;
    return STORE_AWAY.has(code) && (code !== 'store_denied' || hasWritten);
  };
  const how = { ...patience, waitsFor };
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) => {
        const call = (): unknown => Reflect.apply(member, target, args);
        return Object.hasOwn(PAGED_METHODS, name)
          ? patientPages(call as () => AsyncIterable<unknown>, how)
          : patiently(call as () => Promise<unknown>, how).then((answer) => {
              hasWritten ||= name === 'upsertRows';
              return answer;
            });
      };
    },
  });
}

type How = Patience & { waitsFor: (code: ErrorCode) => boolean };

async function patiently<T>(call: () => Promise<T>, patience: How): Promise<T> {
  let pauseMs = patience.firstPauseMs ?? FIRST_PAUSE_MS;
  let waiting = false;
  for (;;) {
    try {
      const answer = await call();
      if (waiting) patience.onWaiting(null);
      return answer;
    } catch (thrown) {
      const error = toAppError(thrown);
      if (!patience.waitsFor(error.code) || patience.signal.aborted) throw thrown;
      if (!waiting) patience.onWaiting(error);
      waiting = true;
      await delay(Math.max(pauseMs, error.details.retryAfterMs ?? 0), undefined, { signal: patience.signal });
      pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * GROWTH);
    }
  }
}

async function* patientPages<Page>(
  open: () => AsyncIterable<Page>,
  patience: How,
): AsyncGenerator<Page, void, undefined> {
  let pages = open()[Symbol.asyncIterator]();
  const next = async (): Promise<IteratorResult<Page>> => {
    try {
      return await pages.next();
    } catch (error) {
      pages = open()[Symbol.asyncIterator]();
      throw error;
    }
  };
  try {
    for (let page = await patiently(next, patience); !page.done; page = await patiently(next, patience)) {
      yield page.value;
    }
  } finally {
    // Who has read enough leaves it here: the store may hold something open for it.
    await pages.return?.();
  }
}
