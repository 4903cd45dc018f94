/** An answer may wait in the pipe when the timer goes off: it is read first. */
const GRACE_MS = 250;

/**
 * Tells that something has taken too long, unless this process itself stood still meanwhile.
 *
 *   armed --on time--> grace --> hung
 *     \--late by more than the grace: this process was stopped, the other one perhaps too--> armed
 *
 * @returns how to call it off.
 */
export function startHangTimer(ms: number, onHang: () => void): () => void {
  let timer: NodeJS.Timeout;
  const wait = (waitMs: number, then: () => void): void => {
    const due = performance.now() + waitMs;
    timer = setTimeout(() => {
      if (performance.now() - due > GRACE_MS) wait(ms, grace);
      else then();
    }, waitMs);
  };
  const grace = (): void => wait(GRACE_MS, onHang);
  wait(ms, grace);
  return () => clearTimeout(timer);
}
