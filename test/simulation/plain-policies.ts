import { LocalDetector } from './local-detector.ts';
import type { Gateway, Policy } from './policy.ts';
import type { SimTier } from './sim-tier.ts';
import type { Query, World } from './world.ts';

/** (b): more than this many queries wait. */
const QUEUE_THRESHOLD = 50;
/** (a): half of the deadline for the first tier, so that a query which timed out there can still be answered elsewhere. */
const TIMEOUT_MS = 1_000;
const RESET_MS = 5_000;
const VOLUME = 5;
/** What autoscaling on the length of a queue usually says: one worker for so many waiting. */
const WAITING_PER_WORKER = 10;

const wantedWorkers: Policy['wantedWorkers'] = (_world, tier) =>
  Math.ceil((tier.waiting + (tier.bulkWaits ? 1 : 0)) / WAITING_PER_WORKER);

function send(world: World, query: Query, tier: SimTier, done?: (failed: boolean) => void): void {
  tier.push(world.job(query, tier, { onAnswer: () => done?.(false), onError: () => done?.(true) }));
}

/** What the others do on an error: once more, on the other tier. */
function sendWithRetry(world: World, query: Query, [tier, other]: readonly (SimTier | undefined)[]): void {
  if (tier) send(world, query, tier, (failed) => failed && other && send(world, query, other));
}

/**
 * (a) An error-rate breaker alone, as opossum does it: first tier with a timeout, the other one when the call failed or
 * timed out or the breaker is open. A call that timed out is not taken back: its work goes on.
 *
 *   closed --half of 5 s failed--> open --5 s--> half open: one call --answered--> closed, --failed--> open
 */
class ErrorRateGateway implements Gateway {
  readonly #world: World;
  readonly #detector = new LocalDetector(VOLUME);
  #openUntil: number | null = null;
  #isProbing = false;

  constructor(world: World) {
    this.#world = world;
  }

  ask(query: Query): void {
    const { time, tiers } = this.#world;
    const [first, second] = tiers;
    const isOpen = this.#openUntil !== null && (time.now < this.#openUntil || this.#isProbing);
    if (!first || isOpen) {
      if (second) send(this.#world, query, second);
      return;
    }
    this.#isProbing = this.#openUntil !== null;
    let isDone = false;
    const done = (failed: boolean): void => {
      if (isDone) return;
      isDone = true;
      this.#note(failed);
      if (failed && second) send(this.#world, query, second);
    };
    send(this.#world, query, first, done);
    time.after(TIMEOUT_MS, () => done(true));
  }

  #note(failed: boolean): void {
    const { now } = this.#world.time;
    const isTripped = this.#detector.record(now, failed);
    if (this.#isProbing && !failed) {
      this.#openUntil = null;
      this.#detector.forget();
    } else if (isTripped || (this.#isProbing && failed)) this.#openUntil = now + RESET_MS;
    this.#isProbing = false;
  }
}

export const errorRateBreaker: Policy = {
  name: '(a) error-rate breaker',
  gateways: (world, count) => Array.from({ length: count }, () => new ErrorRateGateway(world)),
  wantedWorkers,
};

export const queueThreshold: Policy = {
  name: '(b) queue threshold',
  gateways: (world, count) =>
    Array.from({ length: count }, () => ({
      ask: (query) => {
        const [first, second] = world.tiers;
        const isLong = (first?.waiting ?? 0) > QUEUE_THRESHOLD;
        sendWithRetry(world, query, isLong ? [second] : [first, second]);
      },
    })),
  wantedWorkers,
};

export const noFallback: Policy = {
  name: '(c) no fallback',
  gateways: (world, count) =>
    Array.from({ length: count }, () => ({
      ask: (query) => sendWithRetry(world, query, world.tiers.slice(0, 1)),
    })),
  wantedWorkers,
};
