import { AppError, toAppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { EmbedAnswer, EmbedTransport } from '@embergate/embedding/transport.ts';
import { patienceMs } from '@embergate/routing/patience.ts';
import { predictArrivalMs } from '@embergate/routing/tier-view.ts';
import { firstAnswer, isOverdue, untilSilent, type Attempt } from './attempt.ts';
import type { HedgeBudget } from './hedge-budget.ts';
import { QueryAdmission, queueLate, type Admitted, type QueryAdmissionParts } from './query-admission.ts';
import type { TierBreakers } from './tier-breakers.ts';
import { withReason } from './with-reason.ts';

export interface QueryRouterParts extends QueryAdmissionParts {
  space: string;
  breakers: TierBreakers;
  transport: EmbedTransport;
  hedges: HedgeBudget;
  /** Told how each attempt at a tier ended: `ok`, `abandoned`, or an error's code. */
  onAttempt: (tier: TierName, outcome: string) => void;
}

export interface RoutedQuery {
  ids: Uint32Array;
  /** What the ids stand for. */
  text: string;
  /** Of these, what a model must compute. */
  tokens: number;
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

/** A query and what holds for all of its attempts. */
interface Journey {
  query: RoutedQuery;
  until: number;
  counted: Set<TierName>;
  /** The attempt that failed or is silent. */
  first?: Attempt;
}

/** The tier's failures; what is wrong with the query or with the queue is so everywhere. */
const MAY_FAIL_OVER: ReadonlySet<ErrorCode> = new Set([
  'embedding_failed',
  'deadline_exceeded',
  'shutting_down',
  'worker_misaligned',
  'internal',
]);

/**
 * Takes one query to the tier that shall answer it, and once to another when that one fails or stays silent.
 *
 *   admitted --answered--> done
 *   admitted --failed, or silent beyond patience--> admitted again elsewhere --first answer of both--> done
 *   none would be in time --> no_tier_available
 */
export class QueryRouter {
  readonly #parts: QueryRouterParts;
  readonly #admission: QueryAdmission;

  constructor(parts: QueryRouterParts) {
    this.#parts = parts;
    this.#admission = new QueryAdmission(parts);
  }

  /**
   * @throws AppError `no_tier_available` when nobody would answer in time, `queue_down`, `deadline_exceeded`, or the
   * worker's own code; `details.reason` says it in the words of the contract. The signal's reason once it is aborted.
   */
  async route(query: RoutedQuery): Promise<RoutedAnswer> {
    const journey = { query, until: performance.now() + query.deadlineMs, counted: new Set<TierName>() };
    const first = await this.#begin(journey, new Set());
    try {
      return routed(first, await first.judged);
    } catch (thrown) {
      query.signal?.throwIfAborted();
      const error = toAppError(thrown);
      if (!MAY_FAIL_OVER.has(error.code)) throw withReason(error, this.#reasonOf(first, error));
      return this.#failOver({ ...journey, first }, error);
    }
  }

  async #failOver(journey: Journey & { first: Attempt }, firstError: AppError): Promise<RoutedAnswer> {
    const { query, first } = journey;
    let second: Attempt | null = null;
    try {
      second = await this.#beginElsewhere(journey, firstError);
      // Nowhere else to go: a silent tier may still answer in time.
      if (!second) return routed(first, await first.answer);
      const answer = await firstAnswer([first, second]);
      if (answer.meta.id === first.jobId) {
        second.abandon(new Error('the first attempt answered after all'));
        return routed(first, answer);
      }
      const isItsFault = firstError.details['isEvidence'] === true;
      first.abandon(isItsFault ? firstError : new Error('another attempt was faster'));
      return routed(notDown(second, { first, firstError }), answer);
    } catch (thrown) {
      query.signal?.throwIfAborted();
      const error = toAppError(thrown);
      first.abandon(error);
      const last = second ? notDown(second, { first, firstError }) : first;
      throw withReason(error, this.#reasonOf(last, error));
    }
  }

  /** Why the first declared tier did not answer, in the words of the contract. */
  #reasonOf({ reason, sentAt, predictedMs }: Attempt, { code, details }: AppError): string | null {
    const { board } = this.#parts;
    if (typeof details['reason'] === 'string') return details['reason'];
    if (code === 'queue_down' || code === 'storage_full') return 'queue_down';
    if (code === 'deadline_exceeded' && board.wasSilentSince(sentAt)) return 'queue_down';
    if (reason !== null) return reason;
    const [firstTier] = board.tiers;
    if (code === 'deadline_exceeded')
      return `${firstTier}_${isOverdue(predictedMs, sentAt) ? 'down' : 'saturated'}`;
    if (code === 'worker_misaligned') return `${firstTier}_misaligned`;
    return code === 'embedding_failed' || code === 'shutting_down' ? `${firstTier}_down` : null;
  }

  async #begin(journey: Journey, excluded: ReadonlySet<TierName>): Promise<Attempt> {
    const { tokens, firstTierOnly, signal } = journey.query;
    const { until, counted } = journey;
    const startedAt = performance.now();
    const wanted = { tokens, until, firstTierOnly, excluded, signal, counted };
    const admitted = await this.#admission.admit(wanted);
    const sentAt = performance.now();
    if (sentAt >= until) {
      const { tier, jobId } = admitted;
      this.#parts.admissions.release({ tier, lane: 'query', jobId }).catch(() => undefined); // it expires
      throw queueLate();
    }
    return { ...admitted, admissionMs: sentAt - startedAt, sentAt, ...this.#send(journey, admitted) };
  }

  #send(
    journey: Journey,
    admitted: Admitted,
  ): Pick<Attempt, 'answer' | 'judged'> & { abandon: (why: Error) => void } {
    const { transport, space, breakers, board, hedges, admissions, onAttempt } = this.#parts;
    const { query, until } = journey;
    const place = { tier: admitted.tier, lane: 'query', jobId: admitted.jobId } as const;
    const leaving = new AbortController();
    const signal = query.signal ? AbortSignal.any([query.signal, leaving.signal]) : leaving.signal;
    const deadlineMs = until - performance.now();
    const answer = transport.send({
      ...place,
      space,
      inputs: [query.ids],
      texts: [query.text],
      deadlineMs,
      signal,
    });
    answer.then(
      () => onAttempt(place.tier, 'ok'),
      (thrown: unknown) => {
        onAttempt(
          place.tier,
          signal.aborted && !(thrown instanceof AppError) ? 'abandoned' : toAppError(thrown).code,
        );
        admissions.release(place).catch(() => undefined); // it expires
      },
    );
    const patience = {
      attempt: admitted,
      patienceMs: journey.first ? null : this.#patienceMs(query, admitted, deadlineMs),
      hedges,
      signal,
      wasQueueSilentSince: (at: number) => board.wasSilentSince(at),
    };
    const judged = breakers.call(place.tier, () => untilSilent(answer, patience));
    judged.catch(() => undefined); // of a second attempt only the answer is waited for
    return { answer, judged, abandon: (why) => leaving.abort(why) };
  }

  /**
   * After a failure another worker of the tier where one is idle, else the next tier. After a silence the other way round:
   * a worker that hangs or was killed just now still looks idle, and may take the query again.
   * @returns null where nobody else would answer in time.
   */
  async #beginElsewhere(journey: Journey & { first: Attempt }, { code }: AppError): Promise<Attempt | null> {
    const { tier } = journey.first;
    const idle = this.#parts.board.view(tier).workers.filter(({ busyMs }) => busyMs === 0);
    const anywhere: ReadonlySet<TierName> = new Set();
    const elsewhere: ReadonlySet<TierName> = new Set([tier]);
    const inOrder = code === 'deadline_exceeded' ? [elsewhere, anywhere] : [anywhere, elsewhere];
    for (const excluded of idle.length > 1 ? inOrder : [elsewhere]) {
      try {
        return await this.#begin(journey, excluded);
      } catch (thrown) {
        // A queue that hangs may bring no answer of the first attempt either: its caller can still do something else.
        if (toAppError(thrown).code === 'queue_down') throw thrown;
      }
    }
    return null;
  }

  /** How long a first attempt may be silent, in milliseconds; null for as long as there is time. */
  #patienceMs(
    { tokens, firstTierOnly }: RoutedQuery,
    { tier, predictedMs }: Admitted,
    remainingMs: number,
  ): number | null {
    const { board } = this.#parts;
    const views = firstTierOnly ? board.views().slice(0, 1) : board.views();
    const elsewhere = views.flatMap((view) => {
      const hasOther = view.name !== tier ? view.share > 0 : view.workers.length > 1;
      const ms = hasOther ? predictArrivalMs(view, tokens) : null;
      return ms === null ? [] : [ms];
    });
    const elsewhereMs = elsewhere.length > 0 ? Math.min(...elsewhere) : null;
    return patienceMs({ predictedMs, remainingMs, elsewhereMs });
  }
}

/** The first declared tier was passed over because it was slow or misaligned, and is not known to be down. */
function notDown(second: Attempt, { first, firstError }: { first: Attempt; firstError: AppError }): Attempt {
  const { code, details } = firstError;
  const isSlow = code === 'deadline_exceeded' && details['isEvidence'] !== true;
  const why = isSlow ? 'saturated' : code === 'worker_misaligned' ? 'misaligned' : 'down';
  return second.reason === `${first.tier}_down` ? { ...second, reason: `${first.tier}_${why}` } : second;
}

const routed = ({ tier, reason, predictedMs, admissionMs }: Attempt, answer: EmbedAnswer): RoutedAnswer => ({
  answer,
  tier,
  reason,
  predictedMs,
  admissionMs,
});
