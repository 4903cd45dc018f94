import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TierStateTracker, type TierState } from '../src/tier-state.ts';
import type { TierView } from '../src/tier-view.ts';
import { between, GPU, view } from './views.ts';

const objective = { tokens: 20, objectiveMs: 1_000 };
/** A tier whose next answer takes so long. */
const taking = (ms: number): TierView => view('gpu', { workers: [{ fit: { a: 0, b: 0 }, busyMs: ms }] });
const gone = view('gpu', { workers: [], lost: 1 });

/** Looks every 100 ms at what a tier is in that moment. */
function states(views: readonly TierView[]): TierState[] {
  const tracker = new TierStateTracker();
  return views.map((one, at) => tracker.update(one, objective, at * 100));
}
const repeated = (one: TierView, times: number): TierView[] => Array.from({ length: times }, () => one);
const changes = (seen: readonly TierState[]): number =>
  seen.filter((state, at) => at > 0 && state !== seen[at - 1]).length;

describe('the state of a tier, for people', () => {
  it('is down before anything is known, and then at once what it is', () => {
    const tracker = new TierStateTracker();
    expect(tracker.state).toBe('down');
    expect(tracker.update(taking(100), objective, 0)).toBe('ready');
    expect(new TierStateTracker().update(taking(3_000), objective, 0)).toBe('saturated');
  });

  it('says starting and down at once, and ready again at once', () => {
    const starting = view('gpu', { workers: [], starting: 1 });
    const open = view('gpu', { share: 0 });
    const seen = states([taking(100), gone, starting, taking(100), open, taking(100)]);
    expect(seen).toEqual(['ready', 'down', 'starting', 'ready', 'down', 'ready']);
  });

  it('says misaligned at once, though another worker loads, and not while one takes work', () => {
    const none = view('gpu', { workers: [], misaligned: 1, starting: 1 });
    const one = { ...taking(100), misaligned: 1 };
    expect(states([taking(100), none, one, none])).toEqual(['ready', 'misaligned', 'ready', 'misaligned']);
  });

  it('does not call a tier starting whose breaker is open, though another worker loads', () => {
    expect(states([view('gpu', { share: 0, starting: 1 })])).toEqual(['down']);
  });

  it('does not call a burst of less than a second a state', () => {
    const seen = states([taking(100), ...repeated(taking(5_000), 10), ...repeated(taking(100), 20)]);
    expect(new Set(seen)).toEqual(new Set(['ready']));
  });

  it('is saturated when that has held for a second, and ready when it was well below the bound for as long', () => {
    const seen = states([
      taking(100),
      ...repeated(taking(1_500), 12),
      ...repeated(taking(800), 30),
      ...repeated(taking(300), 12),
    ]);
    expect(seen[10]).toBe('ready');
    expect(seen[11]).toBe('saturated');
    expect(seen[42]).toBe('saturated');
    expect(seen.at(-1)).toBe('ready');
    expect(changes(seen)).toBe(2);
  });

  it('does not remember a crossing of before it went away', () => {
    const seen = states([
      taking(100),
      ...repeated(taking(1_500), 8),
      gone,
      taking(100),
      taking(1_500),
      taking(1_500),
    ]);
    expect(seen.slice(-3)).toEqual(['ready', 'ready', 'ready']);
  });

  it('does not swing while the prediction swings around the bound', () => {
    // Pieces of up to two seconds: long enough for a state, were it not for the distance between its two bounds.
    const piece = fc.tuple(between(650, 1_350), fc.integer({ min: 1, max: 20 }));
    fc.assert(
      fc.property(fc.array(piece, { minLength: 10, maxLength: 30 }), (pieces) => {
        const views = pieces.flatMap(([ms, times]) => repeated(taking(ms), times));
        // Once saturated it stays so, as the series never falls below 60% of the bound.
        expect(changes(states([taking(100), ...views]))).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('changes between ready and saturated once a second at most, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3_000), { minLength: 100, maxLength: 300 }), (series) => {
        const seen = states(series.map(taking));
        expect(changes(seen)).toBeLessThanOrEqual(series.length / 10);
      }),
    );
  });

  it('counts a tier that returns as ready: its share is the breaker’s to tell', () => {
    expect(states([view('gpu', { share: 0.05, workers: [GPU] })])).toEqual(['ready']);
  });
});
