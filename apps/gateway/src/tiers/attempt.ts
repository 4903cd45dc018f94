import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import type { EmbedAnswer } from '@embergate/embedding/transport.ts';
import { withTimeout } from '@embergate/platform/with-timeout.ts';
import { overdueMs } from '@embergate/routing/patience.ts';
import type { HedgeBudget } from './hedge-budget.ts';
import type { Admitted } from './query-admission.ts';

/** A query on its way to one tier. */
export interface Attempt extends Admitted {
  admissionMs: number;
  /** On the clock of `performance.now()`. */
  sentAt: number;
  /** The vector, whenever it comes. */
  answer: Promise<EmbedAnswer>;
  /** What the tier's breaker saw: the vector, a failure, or a silence beyond patience. */
  judged: Promise<EmbedAnswer>;
  /** Nobody waits for this one any more. */
  abandon: (why: Error) => void;
}

/** A timer may fire this much before its time, in milliseconds. */
const TIMER_SLACK_MS = 2;

export interface Patience {
  attempt: Pick<Admitted, 'tier' | 'predictedMs'>;
  /** How long the tier may be silent, in milliseconds; null for as long as there is time. */
  patienceMs: number | null;
  hedges: HedgeBudget;
  /** Aborted when nobody waits for this attempt any more. */
  signal: AbortSignal;
  /** Whether the queue was silent at any time since then (`performance.now()`). */
  wasQueueSilentSince: (at: number) => boolean;
}

/**
 * The answer, or a failure once the tier has been silent for longer than patience allows: `deadline_exceeded`, whose
 * `details.isEvidence` says whether it speaks against the tier.
 */
export async function untilSilent(answer: Promise<EmbedAnswer>, patience: Patience): Promise<EmbedAnswer> {
  const sentAt = performance.now();
  const { patienceMs, attempt } = patience;
  const silent = (): AppError => {
    const waited = `${Math.round(performance.now() - sentAt)} ms`;
    return new AppError('deadline_exceeded', `The ${attempt.tier} tier was silent for ${waited}.`);
  };
  try {
    if (patienceMs === null) return await answer;
    return await withHedge(answer, patience, silent);
  } catch (thrown) {
    const error = toAppError(thrown);
    if (error.code !== 'deadline_exceeded' && !patience.signal.aborted) throw error;
    const isEvidence = speaksAgainst(patience, sentAt);
    const details = { ...error.details, isEvidence };
    throw new AppError('deadline_exceeded', error.message, { cause: thrown, details });
  }
}

/** A short deadline is the caller's choice and says nothing about the tier; a caller that left neither, nor a queue that hangs. */
const speaksAgainst = (
  { attempt: { predictedMs }, signal, wasQueueSilentSince }: Patience,
  sentAt: number,
): boolean => !signal.aborted && isOverdue(predictedMs, sentAt) && !wasQueueSilentSince(sentAt);

export const isOverdue = (predictedMs: number, sentAt: number): boolean =>
  performance.now() - sentAt + TIMER_SLACK_MS >= overdueMs(predictedMs);

/** Waits in silence as long as patience lasts, or only until the hedge where the budget has one left. */
async function withHedge(
  answer: Promise<EmbedAnswer>,
  { attempt, patienceMs, hedges }: Patience,
  silent: () => AppError,
): Promise<EmbedAnswer> {
  const sentAt = performance.now();
  const leftMs = (): number => (patienceMs ?? Infinity) - (performance.now() - sentAt);
  const hedgeMs = hedges.hedgeAfterMs(attempt.predictedMs);
  if (hedgeMs === null || hedgeMs >= leftMs()) return withTimeout(answer, leftMs(), silent);
  const timeForHedge = silent();
  try {
    return await withTimeout(answer, hedgeMs, () => timeForHedge);
  } catch (thrown) {
    if (thrown !== timeForHedge || hedges.spend()) throw thrown;
    return withTimeout(answer, leftMs(), silent);
  }
}

/** The first answer of all, or the failure of the last attempt. */
export const firstAnswer = async (attempts: readonly Attempt[]): Promise<EmbedAnswer> => {
  try {
    return await Promise.any(attempts.map(({ answer }) => answer));
  } catch (thrown) {
    throw thrown instanceof AggregateError ? thrown.errors.at(-1) : thrown;
  }
};
