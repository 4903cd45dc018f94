import { predictMs, type Fit } from './fit.ts';

export interface Demand {
  /** Tokens a second that queries asked of the tier, diverted and refused ones included; over a short and a long window. */
  shortTokensPerSecond: number;
  longTokensPerSecond: number;
  /** Whether bulk work waits for the tier. */
  bulkWaits: boolean;
}

/** A worker that is busy for longer lets queries wait too often. */
const TARGET_UTILISATION = 0.7;
/** Queries come in small batches: the constant part of a batch's duration is shared by this many tokens. */
const USUAL_BATCH_TOKENS = 32;

/** Tokens a second that one worker takes at the target utilisation. */
export function workerCapacity(fit: Fit): number {
  return (
    (USUAL_BATCH_TOKENS / Math.max(predictMs(fit, USUAL_BATCH_TOKENS), 1e-6)) * 1_000 * TARGET_UTILISATION
  );
}

/**
 * How many workers a tier needs. From what is asked of it and not from its backlog, which a tier without workers does
 * not have. Up with the short window, down with the long one. Bulk work asks for one worker and never for more: it
 * fills whatever there is, and would scale without end.
 *
 * @param fit of the tier's workers, or what was last known of them; null when nothing ever was.
 */
export function requiredWorkers(
  { shortTokensPerSecond, longTokensPerSecond, bulkWaits }: Demand,
  fit: Fit | null,
): number {
  const tokens = Math.max(shortTokensPerSecond, longTokensPerSecond);
  const atLeast = tokens > 0 || bulkWaits ? 1 : 0;
  if (fit === null) return atLeast;
  return Math.max(atLeast, Math.ceil(tokens / workerCapacity(fit)));
}
