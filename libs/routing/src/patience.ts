export interface PatienceOptions {
  predictedMs: number;
  /** Until the caller's deadline, from the moment of sending. */
  remainingMs: number;
  /** What the best other tier would need from now on; null where there is none. */
  elsewhereMs: number | null;
}

/** An answer is overdue when it takes this many times what was predicted, and this much longer. */
const OVERDUE_FACTOR = 2;
const OVERDUE_MS = 250;
/** What the other way is given beyond its own prediction. */
const ELSEWHERE_FACTOR = 1.5;
const ELSEWHERE_MS = 50;

/** From when on an answer that is not there speaks against its tier, and not only against a short deadline; in milliseconds. */
export const overdueMs = (predictedMs: number): number => predictedMs * OVERDUE_FACTOR + OVERDUE_MS;

/**
 * How long to wait in silence before a query is sent elsewhere, in milliseconds: until the answer is overdue, and not
 * so long that the other way could no longer answer in time. Never before the answer is due: a tier that is busy and in
 * time would otherwise have its queries computed twice.
 * @returns null when waiting is all that is left: nowhere else to go, or no time for it.
 */
export function patienceMs({ predictedMs, remainingMs, elsewhereMs }: PatienceOptions): number | null {
  if (elsewhereMs === null) return null;
  const latest = remainingMs - (elsewhereMs * ELSEWHERE_FACTOR + ELSEWHERE_MS);
  if (latest <= 0 || latest < predictedMs) return null;
  return Math.min(overdueMs(predictedMs), latest);
}
