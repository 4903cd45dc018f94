import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { overdueMs, patienceMs } from '../src/patience.ts';
import { between } from './views.ts';

describe('how long a silence is borne', () => {
  it('is until the answer is overdue', () => {
    expect(patienceMs({ predictedMs: 100, remainingMs: 2_000, elsewhereMs: 400 })).toBe(overdueMs(100));
    expect(overdueMs(100)).toBe(450);
  });

  it('is shorter where the other way needs the time', () => {
    expect(patienceMs({ predictedMs: 300, remainingMs: 2_000, elsewhereMs: 900 })).toBe(
      2_000 - (900 * 1.5 + 50),
    );
  });

  it('has no end where nobody else could answer, or not in time', () => {
    expect(patienceMs({ predictedMs: 100, remainingMs: 2_000, elsewhereMs: null })).toBeNull();
    expect(patienceMs({ predictedMs: 100, remainingMs: 500, elsewhereMs: 400 })).toBeNull();
  });

  it('does not send a query elsewhere whose answer is not even due', () => {
    expect(patienceMs({ predictedMs: 1_000, remainingMs: 2_000, elsewhereMs: 800 })).toBeNull();
  });

  it('ends after the answer is due, when it is overdue at the latest, and leaves the other way its time', () => {
    const ms = between(0, 5_000);
    fc.assert(
      fc.property(ms, ms, ms, (predictedMs, remainingMs, elsewhereMs) => {
        const patience = patienceMs({ predictedMs, remainingMs, elsewhereMs });
        if (patience === null) return;
        expect(patience).toBeGreaterThanOrEqual(predictedMs);
        expect(patience).toBeLessThanOrEqual(overdueMs(predictedMs));
        expect(remainingMs - patience).toBeGreaterThan(elsewhereMs);
      }),
    );
  });
});
