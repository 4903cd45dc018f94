import { AppError, type ErrorCode } from '@embergate/contracts/errors.ts';

export interface CallerOptions {
  /** From now, in milliseconds. */
  deadlineMs: number;
  /** Aborted when this caller leaves. */
  signal?: AbortSignal | undefined;
}

/** The work behind a key. It keeps the deadline it is given (milliseconds from now), and stops when `signal` says so. */
export type SharedWork<T> = (signal: AbortSignal, deadlineMs: number) => Promise<T>;

interface Caller {
  /** On the clock of `performance.now()`. */
  deadlineAt: number;
  signal: AbortSignal | undefined;
  leads: boolean;
}

interface Waiting<T> {
  deadlineAt: number;
  tell: (outcome: PromiseSettledResult<T>) => void;
}

interface Flight<T> {
  abort: AbortController;
  /** The leader's. */
  deadlineAt: number;
  /** Who has not left. */
  waiting: Set<Waiting<T>>;
}

/** Failures that come of too little time: another caller with more of it may fare better. */
const WANTS_MORE_TIME: ReadonlySet<ErrorCode> = new Set(['deadline_exceeded', 'no_tier_available']);
/** This much longer than the leader's, in milliseconds, a deadline must be to begin again for. */
const MORE_TIME_MS = 100;
/** The leader hears of its deadline from the work, which knows why. Work that overstays it is left behind after this. */
const OVERSTAY_MS = 50;

/**
 * Callers that want the same thing at the same time share one piece of work. The first leads: the work has its
 * deadline. Those who join keep their own deadlines and leave on their own, the leader included.
 *
 *   in flight --the work ends--> ended: all who wait get the outcome; who has more time left than it had begins again
 *        \--the last who waits leaves--> aborted
 *
 * The value is the same object for all: none may write into it.
 */
export class Coalescer<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /**
   * `start` is called unless the key is in flight; what else sets two calls apart belongs into the key.
   * @throws what the work throws; AppError `deadline_exceeded` at the caller's own deadline; the signal's reason.
   */
  async run(key: string, { deadlineMs, signal }: CallerOptions, start: SharedWork<T>): Promise<T> {
    const deadlineAt = performance.now() + deadlineMs;
    for (;;) {
      signal?.throwIfAborted();
      if (deadlineAt <= performance.now()) throw deadlineExceeded();
      const joined = this.#flights.get(key);
      const flight = joined ?? this.#begin(key, deadlineAt, start);
      const outcome = await this.#outcome(key, flight, { deadlineAt, signal, leads: !joined });
      if (outcome.status === 'fulfilled') return outcome.value;
      const error: unknown = outcome.reason;
      const mayFareBetter = joined !== undefined && deadlineAt - flight.deadlineAt >= MORE_TIME_MS;
      if (!mayFareBetter || !(error instanceof AppError) || !WANTS_MORE_TIME.has(error.code)) throw error;
    }
  }

  #begin(key: string, deadlineAt: number, start: SharedWork<T>): Flight<T> {
    const flight: Flight<T> = { abort: new AbortController(), deadlineAt, waiting: new Set() };
    this.#flights.set(key, flight);
    // A `start` that throws at once has failed like any other.
    const work = async (): Promise<T> => start(flight.abort.signal, deadlineAt - performance.now());
    void Promise.allSettled([work()]).then(([outcome]) => {
      this.#end(key, flight);
      // Who has most time left is told first, and so leads where it is begun again: the others can join it.
      const byTime = [...flight.waiting].sort((x, y) => y.deadlineAt - x.deadlineAt);
      for (const { tell } of byTime) tell(outcome);
    });
    return flight;
  }

  /** Waits as long as this caller does; rejects when it leaves before the end. */
  #outcome(key: string, flight: Flight<T>, caller: Caller): Promise<PromiseSettledResult<T>> {
    const { deadlineAt, signal, leads } = caller;
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', leaveAborted);
        flight.waiting.delete(waiting);
      };
      const waiting: Waiting<T> = {
        deadlineAt,
        tell: (outcome) => {
          stop();
          resolve(outcome);
        },
      };
      const leave = (reason: Error): void => {
        stop();
        reject(reason);
        if (flight.waiting.size > 0) return;
        this.#end(key, flight);
        flight.abort.abort(reason);
      };
      const leaveAborted = (): void => leave(signal?.reason as Error);
      const patienceMs = deadlineAt - performance.now() + (leads ? OVERSTAY_MS : 0);
      const timer = setTimeout(() => leave(deadlineExceeded()), patienceMs);
      signal?.addEventListener('abort', leaveAborted);
      flight.waiting.add(waiting);
    });
  }

  /** From now on the key begins anew. */
  #end(key: string, flight: Flight<T>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
  }
}

const deadlineExceeded = (): AppError =>
  new AppError('deadline_exceeded', 'No answer came within the deadline.');
