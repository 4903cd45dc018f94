import { z } from 'zod';

/**
 * What all gateways agree on about one tier's breaker. Kept in Redis; each step is a pure function of the record, and
 * is written only if nobody wrote in between (`epoch`).
 *
 *   closed --failures--> open --openUntil passed, probe lease--> open, probed by one gateway
 *     ^                   ^  ^                                    |            |
 *     |                   |  +---------- canary failed -----------+            | canary answered
 *     |                   +------------- failure -------------- ramp <---------+
 *     +------------------- last step of the ramp done ------------+
 */
export const breakerRecordSchema = z.strictObject({
  /** Counts every change. */
  epoch: z.int().nonnegative(),
  state: z.enum(['closed', 'open', 'ramp']),
  /** Why it opened last, for people. */
  reason: z.string(),
  /** Redis time in milliseconds before which nobody probes. */
  openUntil: z.number(),
  /** Who probes, and until when the lease holds. */
  probeBy: z.string(),
  probeUntil: z.number(),
  /** Redis time at which the ramp began. */
  rampSince: z.number(),
  /** How often it opened without having been closed for {@link FORGIVEN_AFTER_MS}: the next dwell is longer. */
  opens: z.int().nonnegative(),
  closedAt: z.number(),
});
export type BreakerRecord = z.infer<typeof breakerRecordSchema>;

export const CLOSED: BreakerRecord = {
  epoch: 0,
  state: 'closed',
  reason: '',
  openUntil: 0,
  probeBy: '',
  probeUntil: 0,
  rampSince: 0,
  opens: 0,
  closedAt: 0,
};

/** A tier must carry queries again within 10 s: longest dwell, probe and ramp stay below that together. */
const DWELL_MS = 1_000;
const MAX_DWELL_MS = 4_000;
/** Share of the dwell that is random, so that tiers which failed together do not come back together. */
const JITTER = 0.25;
const FORGIVEN_AFTER_MS = 60_000;
export const PROBE_LEASE_MS = 3_000;
/** [from this long after the canary answered, share of queries]. */
const RAMP: readonly (readonly [number, number])[] = [
  [0, 0.05],
  [1_000, 0.25],
  [2_000, 1],
];
const RAMP_MS = 2_000;

const next = (record: BreakerRecord, change: Partial<BreakerRecord>): BreakerRecord => ({
  ...record,
  ...change,
  epoch: record.epoch + 1,
});

/** Opens it, or keeps it open after a failed probe. @param draw uniform in [0, 1). */
export function opened(
  record: BreakerRecord,
  now: number,
  why: { reason: string; draw: number },
): BreakerRecord {
  const forgiven = record.state === 'closed' && now - record.closedAt > FORGIVEN_AFTER_MS;
  const opens = forgiven ? 1 : record.opens + 1;
  const dwell = Math.min(MAX_DWELL_MS, DWELL_MS * 2 ** (opens - 1));
  return next(record, {
    state: 'open',
    reason: why.reason,
    openUntil: now + dwell * (1 - JITTER + JITTER * why.draw),
    probeBy: '',
    probeUntil: 0,
    opens,
  });
}

export const mayProbe = (record: BreakerRecord, now: number): boolean =>
  record.state === 'open' && now >= record.openUntil && now >= record.probeUntil;

/** Takes the probe lease: nobody else probes until it is given back or has run out. */
export const probing = (record: BreakerRecord, now: number, probeBy: string): BreakerRecord =>
  next(record, { probeBy, probeUntil: now + PROBE_LEASE_MS });

/** The canary was answered: queries come back step by step. */
export const ramping = (record: BreakerRecord, now: number): BreakerRecord =>
  next(record, { state: 'ramp', rampSince: now, probeBy: '', probeUntil: 0 });

export const rampIsDone = (record: BreakerRecord, now: number): boolean =>
  record.state === 'ramp' && now - record.rampSince >= RAMP_MS;

export const closed = (record: BreakerRecord, now: number): BreakerRecord =>
  next(record, { state: 'closed', reason: '', closedAt: now });

/** The share of queries that the breaker lets through now. */
export function shareOf(record: BreakerRecord, now: number): number {
  if (record.state === 'closed') return 1;
  if (record.state === 'open') return 0;
  const elapsed = now - record.rampSince;
  return RAMP.findLast(([since]) => elapsed >= since)?.[1] ?? 0;
}

/** Its state in opossum's words, which people and metrics use. */
export function stateOf(record: BreakerRecord): 'closed' | 'open' | 'half_open' {
  if (record.state === 'closed') return 'closed';
  return record.state === 'ramp' || record.probeBy !== '' ? 'half_open' : 'open';
}
