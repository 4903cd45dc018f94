import type { ErrorCode } from '@embergate/contracts/errors.ts';
import { toAppError } from '@embergate/contracts/errors.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import {
  closed,
  mayProbe,
  opened,
  probing,
  rampIsDone,
  ramping,
  type BreakerRecord,
} from '@embergate/routing/breaker.ts';
import type { TierLoad } from '@embergate/routing/tier-load.ts';
import CircuitBreaker from 'opossum';
import type { BreakerStore, SharedClock } from '../ports.ts';
import type { TierBoard } from './tier-board.ts';

export interface TierBreakersParts {
  /** Names this gateway in probe leases. */
  gatewayId: string;
  board: TierBoard;
  store: BreakerStore;
  clock: SharedClock;
  /** Sends a canary text through the tier; rejects when it is not answered well. */
  probe: (tier: TierName) => Promise<void>;
  log: Logger;
}

type Detector = CircuitBreaker<[outcome: Promise<void>], void>;

const TICK_MS = 100;
/** Half of at least three calls within five seconds. Saturation is decided elsewhere, and is no failure. */
const DETECTOR = {
  timeout: false,
  errorThresholdPercentage: 50,
  volumeThreshold: 3,
  rollingCountTimeout: 5_000,
  rollingCountBuckets: 5,
  // Never by itself: the shared record says when.
  resetTimeout: 2 ** 31 - 1,
  enableSnapshots: false,
  rollingPercentilesEnabled: false,
} as const;
/** What speaks against a tier. Others are the caller's doing, or the queue's. */
const TIER_FAILURES: ReadonlySet<ErrorCode> = new Set(['embedding_failed', 'deadline_exceeded', 'internal']);

/** A canary that failed for want of the queue says nothing about the tier. */
const QUEUE_FAILURES: ReadonlySet<ErrorCode> = new Set(['queue_down', 'storage_full']);

/**
 * One circuit breaker a tier: opossum detects failures of this gateway's calls, the shared record decides for all
 * gateways (libs/routing/src/breaker.ts has its states). When one detector opens, the record is opened, and every
 * gateway's opossum is set from it. A tier that returns gets a new detector: its old failures have been paid for.
 */
export class TierBreakers {
  readonly #parts: TierBreakersParts;
  readonly #detectors = new Map<TierName, Detector>();
  readonly #known = new Map<TierName, BreakerRecord>();
  /** Tiers whose record this gateway is about to change: while Redis hangs, changes would pile up. */
  readonly #advancing = new Set<TierName>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: TierBreakersParts) {
    this.#parts = parts;
    for (const tier of parts.board.tiers) this.#detectors.set(tier, this.#detector(tier));
    parts.board.onLoad((tier, load) => this.#follow(tier, load));
  }

  /** Reads the records ten times a second: a change that nobody told is seen, and a queue that hangs is noticed. */
  start(): void {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const detector of this.#detectors.values()) detector.shutdown();
  }

  /**
   * Makes a call to a tier, and tells the tier's detector how it ended: a success, or a failure that speaks against the
   * tier. What does neither is not told, as opossum would count it as a success and never open.
   */
  async call<T>(tier: TierName, work: () => Promise<T>): Promise<T> {
    const detector = this.#detectors.get(tier);
    const wasReturning = this.#isReturning(tier);
    try {
      const result = await work();
      detect(detector, Promise.resolve());
      return result;
    } catch (thrown) {
      if (!speaksAgainstTier(thrown)) throw thrown;
      detect(detector, Promise.reject(toAppError(thrown)));
      // While a tier returns, one failure counts more than one among many; one of a call from before says nothing new.
      const isOfThisReturn =
        wasReturning && this.#isReturning(tier) && this.#detectors.get(tier) === detector;
      if (isOfThisReturn) void this.#open(tier, toAppError(thrown).message);
      throw thrown;
    }
  }

  #isReturning(tier: TierName): boolean {
    return this.#parts.board.load(tier).breaker.state === 'ramp';
  }

  #detector(tier: TierName): Detector {
    const detector: Detector = new CircuitBreaker((outcome: Promise<void>) => outcome, DETECTOR);
    let last = '';
    detector.on('failure', (error) => (last = toAppError(error).message));
    detector.on('open', () => {
      const { failures, fires } = detector.stats;
      void this.#open(tier, `${failures} of ${fires} calls failed: ${last}`);
    });
    return detector;
  }

  /** Sets this gateway's detector from the shared record, and says once what has changed. */
  #follow(tier: TierName, { breaker }: TierLoad): void {
    const before = this.#known.get(tier);
    this.#known.set(tier, breaker);
    const detector = this.#detectors.get(tier);
    if (breaker.state === 'open') {
      if (detector?.closed) detector.open();
    } else if (detector?.opened) {
      detector.shutdown();
      this.#detectors.set(tier, this.#detector(tier));
    }
    // A probe, and one that failed, change nothing for callers.
    if (before === undefined || before.state === breaker.state) return;
    const { reason, openUntil, opens } = breaker;
    const forMs = Math.max(0, Math.round(openUntil - this.#parts.clock.now()));
    this.#parts.log.warn(
      { tier, from: before.state, to: breaker.state, reason, opens, forMs },
      'breaker changed',
    );
  }

  async #open(tier: TierName, reason: string): Promise<void> {
    await this.#change(tier, (record, now) =>
      record.state === 'open' ? null : opened(record, now, { reason, draw: Math.random() }),
    );
  }

  #tick(): void {
    const { board } = this.#parts;
    board.refresh().catch(() => undefined);
    for (const tier of board.tiers) {
      if (this.#advancing.has(tier)) continue;
      this.#advancing.add(tier);
      void this.#advance(tier).finally(() => this.#advancing.delete(tier));
    }
  }

  /** What time brings: the end of a ramp, or of a dwell. */
  async #advance(tier: TierName): Promise<void> {
    const { board, clock } = this.#parts;
    const { breaker } = board.load(tier);
    const now = clock.now();
    if (rampIsDone(breaker, now))
      await this.#change(tier, (record) => (rampIsDone(record, now) ? closed(record, now) : null));
    else if (mayProbe(breaker, now) && board.view(tier).workers.length > 0) await this.#probe(tier);
  }

  /** One gateway has the lease; the others wait for what it finds. */
  async #probe(tier: TierName): Promise<void> {
    const { gatewayId, probe, board } = this.#parts;
    const leased = await this.#change(tier, (record, now) =>
      mayProbe(record, now) ? probing(record, now, gatewayId) : null,
    );
    if (!leased) return;
    const startedAt = performance.now();
    const failure = await probe(tier).then(() => null, toAppError);
    // The queue's doing: the lease runs out, and whoever is first tries again.
    if (failure && (QUEUE_FAILURES.has(failure.code) || board.wasSilentSince(startedAt))) return;
    await this.#change(tier, (record, now) => {
      if (record.probeBy !== gatewayId) return null;
      return failure === null
        ? ramping(record, now)
        : opened(record, now, { reason: `canary: ${failure.message}`, draw: Math.random() });
    });
  }

  /** Compare-and-set on the record; what others changed meanwhile is read and decided on again. @returns whether it was written. */
  async #change(
    tier: TierName,
    step: (record: BreakerRecord, now: number) => BreakerRecord | null,
  ): Promise<boolean> {
    const { board, store, clock } = this.#parts;
    try {
      for (let tries = 0; tries < 3; tries++) {
        const { breaker, breakerText } = board.load(tier);
        const next = step(breaker, clock.now());
        if (next === null) return false;
        const written = await store.change(tier, breakerText, next);
        await board.refresh();
        if (written) return true;
      }
    } catch (error) {
      this.#parts.log.debug({ err: error, tier }, 'the breaker’s record could not be changed');
    }
    return false;
  }
}

/** One that has opened, or stops, takes no more outcomes. */
function detect(detector: Detector | undefined, outcome: Promise<void>): void {
  const told = detector?.closed ? detector.fire(outcome) : outcome;
  told.catch(() => undefined);
}

const speaksAgainstTier = (thrown: unknown): boolean => {
  const { code, details } = toAppError(thrown);
  return TIER_FAILURES.has(code) && details['isEvidence'] !== false;
};
