import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  breakerRecordSchema,
  CLOSED,
  closed,
  mayProbe,
  opened,
  PROBE_LEASE_MS,
  probing,
  rampIsDone,
  ramping,
  shareOf,
  stateOf,
  type BreakerRecord,
} from '../src/breaker.ts';
import { between } from './views.ts';

const open = (record: BreakerRecord, now: number, draw = 0): BreakerRecord =>
  opened(record, now, { reason: 'calls failed', draw });
/** Redis time of an ordinary day. */
const NOW = 1_795_000_000_000;
/** Opens it again and again, each time right after it was closed. */
const flapped = (times: number): BreakerRecord => {
  let record = CLOSED;
  for (let flap = 0; flap < times; flap++) record = open(closed(record, NOW), NOW);
  return record;
};
const dwell = (record: BreakerRecord): number => record.openUntil - NOW;

describe('the breaker of a tier', () => {
  it('opens, is probed by one gateway, returns step by step and closes', () => {
    const first = open(CLOSED, NOW);
    expect([stateOf(first), shareOf(first, NOW)]).toEqual(['open', 0]);
    expect(mayProbe(first, NOW)).toBe(false);

    const due = first.openUntil;
    expect(mayProbe(first, due)).toBe(true);
    const probed = probing(first, due, 'gateway-1');
    expect([stateOf(probed), shareOf(probed, due), probed.probeBy]).toEqual(['half_open', 0, 'gateway-1']);
    expect(mayProbe(probed, due + 1)).toBe(false);

    const back = ramping(probed, due + 50);
    const shares = [0, 999, 1_000, 1_999, 2_000].map((ms) => shareOf(back, due + 50 + ms));
    expect(shares).toEqual([0.05, 0.05, 0.25, 0.25, 1]);
    expect(stateOf(back)).toBe('half_open');
    expect([rampIsDone(back, due + 2_049), rampIsDone(back, due + 2_050)]).toEqual([false, true]);

    const well = closed(back, due + 2_050);
    expect([stateOf(well), shareOf(well, due + 2_050), well.reason]).toEqual(['closed', 1, '']);
    expect(well.epoch).toBe(4);
  });

  it('takes a tier back at once that fails while it returns', () => {
    const back = ramping(probing(open(CLOSED, NOW), NOW + 1_000, 'gateway-1'), NOW + 1_050);
    const again = open(back, NOW + 1_200);
    expect([stateOf(again), again.opens]).toEqual(['open', 2]);
    expect(rampIsDone(again, NOW + 60_000)).toBe(false);
  });

  it('lets another gateway probe when the one that had the lease is gone', () => {
    const probed = probing(open(CLOSED, NOW), NOW + 1_000, 'gateway-1');
    expect(mayProbe(probed, NOW + 1_000 + PROBE_LEASE_MS - 1)).toBe(false);
    expect(mayProbe(probed, NOW + 1_000 + PROBE_LEASE_MS)).toBe(true);
  });

  it('gives the lease back with a failed canary, and waits for longer', () => {
    const probed = probing(open(CLOSED, NOW), NOW + 1_000, 'gateway-1');
    const failed = open(probed, NOW + 1_100);
    expect([failed.probeBy, failed.probeUntil, stateOf(failed)]).toEqual(['', 0, 'open']);
    expect(failed.openUntil - (NOW + 1_100)).toBeGreaterThan(dwell(open(CLOSED, NOW)));
  });

  it('waits for longer with every flap, to a bound', () => {
    const dwells = [1, 2, 3, 4, 50, 5_000].map((times) => dwell(flapped(times)));
    expect(dwells).toEqual([750, 1_500, 3_000, 3_000, 3_000, 3_000]);
  });

  it('forgives a tier that was well for a minute, and not one that has just been closed', () => {
    const well = closed(flapped(5), NOW);
    expect(open(well, NOW + 59_000).opens).toBe(6);
    expect(open(well, NOW + 61_000).opens).toBe(1);
    // Time that it was open for is no time of being well.
    expect(open(flapped(5), NOW + 61_000).opens).toBe(6);
  });

  it('spreads tiers that failed together over a quarter of the dwell, never beyond its end', () => {
    fc.assert(
      fc.property(fc.nat(20), between(0, 0.999), (times, draw) => {
        const longest = dwell(open(closed(flapped(times), NOW), NOW, 1));
        const ms = dwell(open(closed(flapped(times), NOW), NOW, draw));
        expect(ms).toBeGreaterThanOrEqual(longest * 0.75 - 1e-3);
        expect(ms).toBeLessThanOrEqual(longest);
      }),
    );
  });

  it('carries all queries within 10 s of being well, whenever that is and though one prober is lost', () => {
    fc.assert(
      fc.property(fc.nat(20), between(0, 1), (times, draw) => {
        let record = open(closed(flapped(times), NOW), NOW, draw);
        let now = record.openUntil;
        record = probing(record, now, 'a gateway that is killed now');
        while (!mayProbe(record, now)) now += 100;
        record = ramping(probing(record, now, 'gateway-2'), now);
        while (!rampIsDone(record, now)) now += 100;
        expect(shareOf(closed(record, now), now)).toBe(1);
        expect(now - NOW).toBeLessThan(10_000);
      }),
    );
  });

  it('counts every change, so that nobody writes over what another wrote, and stays what its schema says', () => {
    type Step = (record: BreakerRecord) => BreakerRecord;
    const steps: Step[] = [
      (record) => open(record, NOW),
      (record) => probing(record, NOW, 'gateway-1'),
      (record) => ramping(record, NOW),
      (record) => closed(record, NOW),
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...steps), { maxLength: 30 }), (life) => {
        let record = CLOSED;
        for (const step of life) {
          const before = record.epoch;
          record = step(record);
          expect(record.epoch).toBe(before + 1);
          expect(breakerRecordSchema.parse(JSON.parse(JSON.stringify(record)))).toEqual(record);
        }
      }),
    );
  });
});
