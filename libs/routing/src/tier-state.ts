import { predictArrivalMs, type TierView } from './tier-view.ts';

export type TierState = 'ready' | 'saturated' | 'starting' | 'down' | 'misaligned';

/** What a state for people is measured by: an answer to a query of usual length within half the usual deadline. */
export interface StateObjective {
  tokens: number;
  objectiveMs: number;
}

/** Enters `saturated` above the objective, leaves it below this share of it. */
const LEAVE_SHARE = 0.6;
/** And each only after this long, as a burst of a moment is no state. */
const HOLD_MS = 1_000;

/**
 * The state of a tier as people see it: with hysteresis, which decisions don't have.
 * `down`, `starting` and `misaligned` are told at once; `ready` and `saturated` change when the other has held for a second.
 */
export class TierStateTracker {
  #state: TierState = 'down';
  #crossedAt: number | null = null;

  get state(): TierState {
    return this.#state;
  }

  /** @param now any clock in milliseconds. */
  update(view: TierView, { tokens, objectiveMs }: StateObjective, now: number): TierState {
    const predictedMs = predictArrivalMs(view, tokens);
    if (predictedMs === null || view.share === 0) {
      this.#crossedAt = null;
      this.#state = predictedMs === null ? withoutWorkers(view) : 'down';
      return this.#state;
    }
    const bound = this.#state === 'saturated' ? objectiveMs * LEAVE_SHARE : objectiveMs;
    const wanted = predictedMs > bound ? 'saturated' : 'ready';
    const isNews = this.#state !== 'ready' && this.#state !== 'saturated';
    if (wanted === this.#state) this.#crossedAt = null;
    else if (isNews || now - (this.#crossedAt ??= now) >= HOLD_MS) {
      this.#state = wanted;
      this.#crossedAt = null;
    }
    return this.#state;
  }
}

function withoutWorkers({ misaligned, starting }: TierView): TierState {
  if (misaligned > 0) return 'misaligned';
  return starting > 0 ? 'starting' : 'down';
}
