import type { TierName } from '@embergate/contracts/tiers.ts';
import { aheadWithin, predictArrivalMs, type TierView } from './tier-view.ts';

export interface Question {
  /** In the order in which the deployment declares them. */
  tiers: readonly TierView[];
  tokens: number;
  /** What is left until the caller's deadline, in milliseconds. */
  remainingMs: number;
  /** No other tier than the first declared one may answer. */
  firstTierOnly: boolean;
  /** Tiers that this very query has failed on. */
  excluded?: ReadonlySet<TierName>;
  /** Uniform in [0, 1): which queries go to a tier that returns. */
  draw: number;
}

export interface Admission {
  kind: 'admit';
  tier: TierName;
  predictedMs: number;
  /** The decision holds while at most this many tokens are ahead. */
  maxAheadTokens: number;
  /** Why it is not the first declared tier; null when it is. */
  reason: string | null;
}
export interface Refusal {
  kind: 'refuse';
  reason: string;
  retryAfterMs: number;
}
export type Decision = Admission | Refusal;

/**
 * A tier's objective is this share of the time left: the rest is for a failover, should the tier not answer.
 * The last of the ladder has nothing to fail over to, and is measured by the deadline alone.
 */
const OBJECTIVE_SHARE = 0.5;
/** Kept of the deadline for the way back and for what a prediction is wrong by. */
const SAFETY_SHARE = 0.75;
const RETRY_AFTER_MS = { min: 250, max: 5_000 } as const;

interface Candidate {
  view: TierView;
  predictedMs: number;
}

/**
 * Which tier takes a query: the first that meets its objective; else the one predicted to answer first, if that is
 * within the deadline; else none. Nothing is admitted that is predicted to be late.
 */
export function decide(question: Question): Decision {
  const { tiers, tokens, remainingMs } = question;
  const candidates = candidatesOf(question);
  const latestMs = remainingMs * SAFETY_SHARE;
  const objectiveMs = remainingMs * OBJECTIVE_SHARE;
  const meets = candidates.find(({ predictedMs }) => predictedMs <= objectiveMs);
  const [soonest, second] = candidates.toSorted((x, y) => x.predictedMs - y.predictedMs);
  const chosen = meets ?? soonest;
  const [first] = tiers;
  if (!chosen || !first || chosen.predictedMs > latestMs) {
    const waitMs = soonest ? soonest.predictedMs - latestMs : RETRY_AFTER_MS.max;
    return {
      kind: 'refuse',
      reason: first ? `${first.name}_${whyNot(first, question)}` : 'no_tier_declared',
      retryAfterMs: Math.ceil(Math.min(RETRY_AFTER_MS.max, Math.max(RETRY_AFTER_MS.min, waitMs))),
    };
  }
  // Where it is the only one, more ahead of it changes nothing until the deadline is at stake.
  const otherwiseMs = meets ? objectiveMs : (second?.predictedMs ?? Infinity);
  const withinMs = second ? Math.min(latestMs, otherwiseMs) : latestMs;
  return {
    kind: 'admit',
    tier: chosen.view.name,
    predictedMs: chosen.predictedMs,
    maxAheadTokens: aheadWithin(chosen.view, tokens, withinMs),
    reason: chosen.view === first ? null : `${first.name}_${whyNot(first, question)}`,
  };
}

/** Tiers that are open to this query; where none of them is in time, also those that return and are open to others. */
function candidatesOf({ tiers, tokens, remainingMs, firstTierOnly, excluded, draw }: Question): Candidate[] {
  const able = tiers.slice(0, firstTierOnly ? 1 : undefined).flatMap((view) => {
    const predictedMs = predictArrivalMs(view, tokens);
    return predictedMs !== null && view.share > 0 && !excluded?.has(view.name) ? [{ view, predictedMs }] : [];
  });
  const open = able.filter(({ view }) => draw < view.share);
  const isInTime = open.some(({ predictedMs }) => predictedMs <= remainingMs * SAFETY_SHARE);
  return isInTime ? open : able;
}

/** The word for a tier that was passed over, as answers and headers say it. */
export function whyNot(
  view: TierView,
  { excluded }: Pick<Question, 'excluded'>,
): 'saturated' | 'down' | 'misaligned' | 'starting' | 'absent' {
  if (excluded?.has(view.name) || (view.workers.length > 0 && view.share < 1)) return 'down';
  if (view.workers.length > 0) return 'saturated';
  if (view.misaligned > 0) return 'misaligned';
  if (view.starting > 0) return 'starting';
  return view.lost > 0 ? 'down' : 'absent';
}
