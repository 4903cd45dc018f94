import { AppError, toAppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { EmbedAnswer, EmbedTransport } from '@embergate/embedding/transport.ts';
import { withTimeout } from '@embergate/platform/with-timeout.ts';
import { decide, type Admission } from '@embergate/routing/decision.ts';
import { overdueMs, patienceMs } from '@embergate/routing/patience.ts';
import { predictArrivalMs } from '@embergate/routing/tier-view.ts';
import { randomUUID } from 'node:crypto';
import type { DemandCounts, TierAdmissions } from '../ports.ts';
import type { HedgeBudget } from './hedge-budget.ts';
import type { TierBoard } from './tier-board.ts';
import type { TierBreakers } from './tier-breakers.ts';

export interface QueryRouterParts {
  space: string;
  board: TierBoard;
  admissions: TierAdmissions;
  breakers: TierBreakers;
  transport: EmbedTransport;
  demand: DemandCounts;
  /** False while the queue has been silent for too long. */
  isQueueKnown: () => boolean;
  hedges: HedgeBudget;
  /** Told how each attempt at a tier ended. */
  onAttempt: (tier: TierName, outcome: string) => void;
}

export interface RoutedQuery {
  ids: Uint32Array;
  deadlineMs: number;
  firstTierOnly: boolean;
  signal?: AbortSignal | undefined;
}

export interface RoutedAnswer {
  answer: EmbedAnswer;
  tier: TierName;
  /** Why it is not the first declared tier; null when it is. */
  reason: string | null;
  /** From the call to the vector, as predicted when the tier that answered was chosen. */
  predictedMs: number;
  admissionMs: number;
}

/** A Redis that answers no reservation within this is as good as away. */
const ADMISSION_TIMEOUT_MS = 500;
/** Other gateways may be faster; after so many lost races the tier is full. */
const MAX_RACES = 4;
/** A view this old is looked at again before a query is sent elsewhere or refused because of it. */
const STALE_VIEW_MS = 20;
/** The tier's failures; what is wrong with the query or with the queue is so everywhere. */
const MAY_FAIL_OVER: ReadonlySet<ErrorCode> = new Set([
  'embedding_failed',
  'deadline_exceeded',
  'shutting_down',
  'internal',
]);
const NONE: ReadonlySet<TierName> = new Set();

interface Admitted {
  jobId: string;
  tier: TierName;
  reason: string | null;
  predictedMs: number;
}

interface Attempt extends Admitted {
  admissionMs: number;
  /** The vector, whenever it comes. */
  answer: Promise<EmbedAnswer>;
  /** What the tier's breaker saw: the vector, a failure, or a silence beyond patience. */
  judged: Promise<EmbedAnswer>;
  abandon: () => void;
}

/**
 * Takes one query to the tier that shall answer it, and once to another when that one fails or stays silent.
 *
 *   admitted --answered--> done
 *   admitted --failed, or silent beyond patience--> admitted again elsewhere --first answer of both--> done
 *   none would be in time --> no_tier_available
 */
export class QueryRouter {
  readonly #parts: QueryRouterParts;

  constructor(parts: QueryRouterParts) {
    this.#parts = parts;
  }

  /**
   * @throws AppError `no_tier_available` when nobody would answer in time, `queue_down`, `deadline_exceeded`, or the
   * worker's own code; `details.reason` says it in the words of the contract. The signal's reason once it is aborted.
   */
  async route(query: RoutedQuery): Promise<RoutedAnswer> {
    const until = performance.now() + query.deadlineMs;
    const first = await this.#begin(query, { until, excluded: NONE });
    const answer = await first.judged.catch(async (thrown: unknown) => {
      query.signal?.throwIfAborted();
      const error = toAppError(thrown);
      if (!MAY_FAIL_OVER.has(error.code)) throw withReason(error, this.#reasonOf(first, error));
      if (error.details['isEvidence'] === false) this.#parts.hedges.spend();
      return this.#failOver(query, { until, first });
    });
    return 'answer' in answer ? answer : routed(first, answer);
  }

  async #failOver(
    query: RoutedQuery,
    { until, first }: { until: number; first: Attempt },
  ): Promise<RoutedAnswer> {
    const second = await this.#beginElsewhere(query, { until, first });
    try {
      // Nowhere else to go: a silent tier may still answer in time.
      if (!second) return routed(first, await first.answer);
      const answer = await firstAnswer([first, second]);
      const [made, other] = answer.meta.id === first.jobId ? [first, second] : [second, first];
      other.abandon();
      return routed(made, answer);
    } catch (thrown) {
      query.signal?.throwIfAborted();
      const error = toAppError(thrown);
      throw withReason(error, this.#reasonOf(second ?? first, error));
    }
  }

  /** Why the first declared tier did not answer, in the words of the contract. */
  #reasonOf({ reason }: Attempt, { code, details }: AppError): string | null {
    if (typeof details['reason'] === 'string') return details['reason'];
    if (code === 'queue_down' || code === 'storage_full') return 'queue_down';
    if (reason !== null) return reason;
    const [firstTier] = this.#parts.board.tiers;
    if (code === 'deadline_exceeded') return `${firstTier}_saturated`;
    return code === 'embedding_failed' || code === 'shutting_down' ? `${firstTier}_down` : null;
  }

  async #begin(
    query: RoutedQuery,
    { until, excluded }: { until: number; excluded: ReadonlySet<TierName> },
  ): Promise<Attempt> {
    const startedAt = performance.now();
    const admitted = await this.#admit(query, { until, excluded });
    const admissionMs = performance.now() - startedAt;
    const remainingMs = until - performance.now();
    const leaving = new AbortController();
    const signal = query.signal ? AbortSignal.any([query.signal, leaving.signal]) : leaving.signal;
    const { tier, jobId } = admitted;
    const { transport, space, breakers, admissions, onAttempt } = this.#parts;
    const answer = transport.send({
      jobId,
      tier,
      lane: 'query',
      space,
      inputs: [query.ids],
      deadlineMs: remainingMs,
      signal,
    });
    answer.then(
      () => onAttempt(tier, 'ok'),
      (thrown: unknown) => {
        onAttempt(tier, query.signal?.aborted ? 'abandoned' : toAppError(thrown).code);
        admissions.release({ tier, lane: 'query', jobId }).catch(() => undefined); // it expires
      },
    );
    const patience = excluded.size > 0 ? null : this.#patience(query, admitted, remainingMs);
    const judged = breakers.call(tier, () =>
      untilSilent(answer, { admitted, patience, signal: query.signal }),
    );
    judged.catch((error: unknown) => {
      if (isEvidence(error)) void breakers.reportFailure(tier, toAppError(error).message);
    });
    return {
      ...admitted,
      admissionMs,
      answer,
      judged,
      abandon: () => leaving.abort(new Error('another tier was faster')),
    };
  }

  /** Another worker of the tier where one is idle, else the next tier. @returns null where that makes no sense. */
  async #beginElsewhere(
    query: RoutedQuery,
    { until, first }: { until: number; first: Attempt },
  ): Promise<Attempt | null> {
    const { board } = this.#parts;
    const idle = board.view(first.tier).workers.filter(({ busyMs }) => busyMs === 0);
    const excluded: ReadonlySet<TierName> = idle.length > 1 ? NONE : new Set([first.tier]);
    return this.#begin(query, { until, excluded }).catch(() => null);
  }

  /** How long this attempt may be silent, in milliseconds; null for as long as there is time. */
  #patience(
    { ids, firstTierOnly }: RoutedQuery,
    { tier, predictedMs }: Admitted,
    remainingMs: number,
  ): number | null {
    const { board, hedges } = this.#parts;
    const views = firstTierOnly ? board.views().slice(0, 1) : board.views();
    const elsewhere = views.flatMap((view) => {
      const hasOther = view.name !== tier ? view.share > 0 : view.workers.length > 1;
      const ms = hasOther ? predictArrivalMs(view, ids.length) : null;
      return ms === null ? [] : [ms];
    });
    const elsewhereMs = elsewhere.length > 0 ? Math.min(...elsewhere) : null;
    const patience = patienceMs({ predictedMs, remainingMs, elsewhereMs });
    return patience === null ? null : hedges.shorten(patience, predictedMs);
  }

  /** Decides, and reserves what was decided; what changed in between is decided anew. */
  async #admit(
    query: RoutedQuery,
    { until, excluded }: { until: number; excluded: ReadonlySet<TierName> },
  ): Promise<Admitted> {
    const { board, demand } = this.#parts;
    if (!this.#parts.isQueueKnown()) throw queueSilent();
    const [firstTier] = board.tiers;
    const tokens = query.ids.length;
    if (firstTier && excluded.size === 0) demand.record(firstTier, tokens);
    const draw = Math.random();
    for (let race = 0; ; race++) {
      query.signal?.throwIfAborted();
      const remainingMs = until - performance.now();
      const { firstTierOnly } = query;
      const decision = decide({ tiers: board.views(), tokens, remainingMs, firstTierOnly, excluded, draw });
      const isFirstChoice = decision.kind === 'admit' && decision.reason === null;
      if (!isFirstChoice && race === 0 && board.ageMs > STALE_VIEW_MS) {
        await inTime(board.refresh());
        continue;
      }
      if (decision.kind === 'refuse' || race === MAX_RACES) {
        for (const tier of board.tiers.slice(1)) demand.record(tier, tokens);
        throw refusal(decision, board.tiers);
      }
      const admitted = await this.#reserve(decision, { tokens, ttlMs: remainingMs });
      if (admitted === null) continue;
      if (decision.tier !== firstTier) demand.record(decision.tier, tokens);
      return admitted;
    }
  }

  async #reserve(
    decision: Admission,
    { tokens, ttlMs }: { tokens: number; ttlMs: number },
  ): Promise<Admitted | null> {
    const { admissions, board } = this.#parts;
    const { tier, maxAheadTokens, reason } = decision;
    const jobId = randomUUID();
    const maxReservedTokens = Math.floor(maxAheadTokens + board.runningTokens(tier));
    const { breakerText } = board.load(tier);
    const reserving = admissions.reserve({
      tier,
      lane: 'query',
      jobId,
      tokens,
      ttlMs,
      maxReservedTokens,
      breakerText,
    });
    const { admitted, load } = await inTime(reserving).catch((error: unknown) => {
      // It may still be carried out when Redis comes round.
      admissions.release({ tier, lane: 'query', jobId }).catch(() => undefined);
      throw error;
    });
    board.put(tier, load);
    if (!admitted) return null;
    const predictedMs = predictArrivalMs(board.view(tier), tokens) ?? decision.predictedMs;
    return { jobId, tier, reason, predictedMs };
  }
}

const inTime = <T>(work: Promise<T>): Promise<T> => withTimeout(work, ADMISSION_TIMEOUT_MS, queueSilent);

const queueSilent = (): AppError =>
  new AppError('queue_down', 'The queue is silent. Search answers lexically until it is back.', {
    details: { reason: 'queue_down', retryAfterMs: 1_000 },
  });

function refusal(
  decision: { kind: string; reason: string | null; retryAfterMs?: number },
  tiers: readonly TierName[],
): AppError {
  const reason = decision.kind === 'refuse' ? decision.reason : `${tiers[0]}_saturated`;
  return new AppError(
    'no_tier_available',
    `No tier of ${tiers.join(', ')} can answer within the deadline (${reason}).`,
    {
      details: { reason, retryAfterMs: decision.retryAfterMs ?? 1_000 },
    },
  );
}

/** The answer, or a failure once the tier has been silent for longer than patience allows. */
async function untilSilent(
  answer: Promise<EmbedAnswer>,
  {
    admitted,
    patience,
    signal,
  }: { admitted: Admitted; patience: number | null; signal: AbortSignal | undefined },
): Promise<EmbedAnswer> {
  const startedAt = performance.now();
  // A short deadline is the caller's choice and says nothing about the tier; a caller that left neither.
  const judgement = (): { isEvidence: boolean } => ({
    isEvidence: !signal?.aborted && performance.now() - startedAt >= overdueMs(admitted.predictedMs),
  });
  const silent = (): AppError =>
    new AppError(
      'deadline_exceeded',
      `The ${admitted.tier} tier was silent for ${Math.round(performance.now() - startedAt)} ms.`,
      {
        details: judgement(),
      },
    );
  try {
    return patience === null ? await answer : await withTimeout(answer, patience, silent);
  } catch (thrown) {
    const error = toAppError(thrown);
    if (error.code !== 'deadline_exceeded' && !signal?.aborted) throw error;
    throw new AppError('deadline_exceeded', error.message, {
      cause: thrown,
      details: { ...error.details, ...judgement() },
    });
  }
}

const isEvidence = (error: unknown): boolean => {
  const { code, details } = toAppError(error);
  return code === 'embedding_failed' || (code === 'deadline_exceeded' && details['isEvidence'] === true);
};

const firstAnswer = async (attempts: readonly Attempt[]): Promise<EmbedAnswer> => {
  try {
    return await Promise.any(attempts.map(({ answer }) => answer));
  } catch (thrown) {
    throw thrown instanceof AggregateError ? thrown.errors.at(-1) : thrown;
  }
};

/** The same error with the reason that responses and headers name. */
function withReason(error: AppError, reason: string | null): AppError {
  if (reason === null) return error;
  return new AppError(error.code, error.message, {
    cause: error.cause,
    details: { ...error.details, reason },
  });
}

const routed = ({ tier, reason, predictedMs, admissionMs }: Attempt, answer: EmbedAnswer): RoutedAnswer => ({
  answer,
  tier,
  reason,
  predictedMs,
  admissionMs,
});
