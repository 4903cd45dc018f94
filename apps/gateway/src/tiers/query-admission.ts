import { AppError } from '@embergate/contracts/errors.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import { withTimeout } from '@embergate/platform/with-timeout.ts';
import { decide, type Admission, type Decision } from '@embergate/routing/decision.ts';
import { predictArrivalMs } from '@embergate/routing/tier-view.ts';
import { randomUUID } from 'node:crypto';
import type { DemandCounts, TierAdmissions } from '../ports.ts';
import type { TierBoard } from './tier-board.ts';

export interface QueryAdmissionParts {
  board: TierBoard;
  admissions: TierAdmissions;
  demand: DemandCounts;
  /** False while the queue has been silent for too long. */
  isQueueKnown: () => boolean;
}

export interface AdmissionRequest {
  tokens: number;
  /** The caller's deadline, on the clock of `performance.now()`. */
  until: number;
  firstTierOnly: boolean;
  /** Tiers that this very query has failed on. */
  excluded: ReadonlySet<TierName>;
  signal: AbortSignal | undefined;
  /** Tiers that the query has been counted for: once each, however often it is sent. */
  counted: Set<TierName>;
}

/** A place in a tier's query lane, reserved under the job's id. */
export interface Admitted {
  jobId: string;
  tier: TierName;
  /** Why it is not the first declared tier; null when it is. */
  reason: string | null;
  predictedMs: number;
}

/** A Redis that answers no reservation within this is as good as away. */
const ADMISSION_TIMEOUT_MS = 500;
/** Other gateways may be faster; after so many lost races the tier is full. */
const MAX_RACES = 4;
/** A view this old is looked at again before a query is sent elsewhere or refused because of it. */
const STALE_VIEW_MS = 20;

/** Decides which tier takes a query, and reserves its place there; what changed in between is decided anew. */
export class QueryAdmission {
  readonly #parts: QueryAdmissionParts;

  constructor(parts: QueryAdmissionParts) {
    this.#parts = parts;
  }

  /**
   * @throws AppError `no_tier_available` when nobody would answer in time; `queue_down`, or `deadline_exceeded` where the
   * caller has less time than it takes to find that out. The signal's reason once it is aborted.
   */
  async admit(request: AdmissionRequest): Promise<Admitted> {
    const { board, isQueueKnown } = this.#parts;
    if (!isQueueKnown()) throw queueSilent();
    const { tokens, until, firstTierOnly, excluded, signal } = request;
    this.#count(board.tiers.slice(0, 1), request);
    const draw = Math.random();
    let isFresh = false;
    for (let races = 0; ;) {
      signal?.throwIfAborted();
      const remainingMs = until - performance.now();
      const decision = decide({ tiers: board.views(), tokens, remainingMs, firstTierOnly, excluded, draw });
      const isSentAway = decision.kind === 'refuse' || decision.reason !== null;
      if (isSentAway && !isFresh && board.ageMs > STALE_VIEW_MS) {
        await inTime(board.refresh(), until);
        isFresh = true;
        continue;
      }
      if (decision.kind === 'refuse' || races === MAX_RACES) {
        this.#count(firstTierOnly ? [] : board.tiers, request);
        throw refusal(decision, board.tiers);
      }
      const admitted = await this.#reserve(decision, { tokens, until });
      if (admitted) {
        this.#count([decision.tier], request);
        return admitted;
      }
      races += 1;
    }
  }

  #count(tiers: readonly TierName[], { counted, tokens }: AdmissionRequest): void {
    for (const tier of tiers) {
      if (!counted.has(tier)) this.#parts.demand.record(tier, tokens);
      counted.add(tier);
    }
  }

  /** @returns null when the tier has changed since it was looked at. */
  async #reserve(
    decision: Admission,
    { tokens, until }: { tokens: number; until: number },
  ): Promise<Admitted | null> {
    const { admissions, board } = this.#parts;
    const { tier, maxAheadTokens, reason } = decision;
    const place = { tier, lane: 'query', jobId: randomUUID() } as const;
    const reserving = admissions.reserve({
      ...place,
      tokens,
      ttlMs: until - performance.now(),
      maxReservedTokens: Math.floor(maxAheadTokens + board.runningTokens(tier)),
      breakerText: board.load(tier).breakerText,
    });
    const { admitted, load } = await inTime(reserving, until).catch((error: unknown) => {
      // It may still be carried out when Redis comes round.
      admissions.release(place).catch(() => undefined);
      throw error;
    });
    board.put(tier, load);
    if (!admitted) return null;
    const predictedMs = predictArrivalMs(board.view(tier), tokens) ?? decision.predictedMs;
    return { jobId: place.jobId, tier, reason, predictedMs };
  }
}

/** Waits for Redis, but no longer than the caller does. */
const inTime = <T>(work: Promise<T>, until: number): Promise<T> => {
  const leftMs = until - performance.now();
  return leftMs < ADMISSION_TIMEOUT_MS
    ? withTimeout(work, leftMs, queueLate)
    : withTimeout(work, ADMISSION_TIMEOUT_MS, queueSilent);
};

export const queueSilent = (): AppError =>
  new AppError('queue_down', 'The queue is silent. Search answers lexically until it is back.', {
    details: { reason: 'queue_down', retryAfterMs: 1_000 },
  });

export const queueLate = (): AppError =>
  new AppError('deadline_exceeded', 'The queue did not answer within the deadline.', {
    details: { reason: 'queue_down' },
  });

function refusal(decision: Decision, tiers: readonly TierName[]): AppError {
  const { reason, retryAfterMs } =
    decision.kind === 'refuse' ? decision : { reason: `${tiers[0]}_saturated`, retryAfterMs: 1_000 };
  return new AppError(
    'no_tier_available',
    `No tier of ${tiers.join(', ')} can answer within the deadline (${reason}).`,
    { details: { reason, retryAfterMs } },
  );
}
