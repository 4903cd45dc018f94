import type { TierName } from '@embergate/contracts/tiers.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, type Decision, type Question } from '../src/decision.ts';
import { predictArrivalMs } from '../src/tier-view.ts';
import { between, anyTokens, anyView, CPU, GPU, view } from './views.ts';

const ask = (change: Partial<Question> = {}): Decision =>
  decide({
    tiers: [view('gpu'), view('cpu')],
    tokens: 20,
    remainingMs: 2_000,
    firstTierOnly: false,
    draw: 0.5,
    ...change,
  });
/** The tier that takes it and why, or that none does. */
const where = (decision: Decision): [string, string | null] =>
  decision.kind === 'admit' ? [decision.tier, decision.reason] : ['none', decision.reason];

const saturated = view('gpu', { aheadTokens: 20_000 });

describe('which tier answers', () => {
  it('is the first declared one as long as it meets its objective, even where another would be sooner', () => {
    expect(where(ask())).toEqual(['gpu', null]);
    const slower = view('gpu', { workers: [{ ...GPU, busyMs: 900 }] });
    expect(where(ask({ tiers: [slower, view('cpu')] }))).toEqual(['gpu', null]);
  });

  it('is the next one when the first is saturated, and the answer says so', () => {
    expect(where(ask({ tiers: [saturated, view('cpu')] }))).toEqual(['cpu', 'gpu_saturated']);
  });

  it('is one that returns beyond its share, where the alternative is no vector at all', () => {
    const returning = view('gpu', { share: 0.05 });
    const nobody = view('cpu', { workers: [] });
    expect(where(ask({ tiers: [returning, view('cpu')] }))).toEqual(['cpu', 'gpu_down']);
    expect(where(ask({ tiers: [returning, nobody] }))).toEqual(['gpu', null]);
    expect(where(ask({ tiers: [view('gpu', { share: 0 }), nobody] }))).toEqual(['none', 'gpu_down']);
  });

  it('is the one that answers first where none meets its objective', () => {
    const busy = (ms: number) => ({ fit: { a: 10, b: 0 }, busyMs: ms });
    const tiers = [view('gpu', { workers: [busy(1_400)] }), view('cpu', { workers: [busy(1_200)] })];
    expect(where(ask({ tiers }))).toEqual(['cpu', 'gpu_saturated']);
    expect(where(ask({ tiers: tiers.toReversed() }))).toEqual(['cpu', null]);
  });

  it.each([
    ['its workers load their model', { workers: [], starting: 1 }, 'gpu_starting'],
    ['its workers are silent', { workers: [], lost: 1 }, 'gpu_down'],
    ['there never were any', { workers: [] }, 'gpu_absent'],
    [
      'its vectors are not those of the collections',
      { workers: [], misaligned: 1, starting: 1 },
      'gpu_misaligned',
    ],
    ['its breaker is open', { share: 0 }, 'gpu_down'],
    ['it returns, and this query is not among the first', { share: 0.25 }, 'gpu_down'],
  ])('is the second when %s', (_, change, reason) => {
    expect(where(ask({ tiers: [view('gpu', change), view('cpu')] }))).toEqual(['cpu', reason]);
  });

  it('gives a tier that returns its share of the queries', () => {
    const tiers = [view('gpu', { share: 0.25 }), view('cpu')];
    expect(where(ask({ tiers, draw: 0.2 }))).toEqual(['gpu', null]);
  });

  it('is not the tier that this very query has failed on', () => {
    expect(where(ask({ excluded: new Set(['gpu']) }))).toEqual(['cpu', 'gpu_down']);
  });

  it('is none other than the first where the caller forbids it', () => {
    const answer = ask({ tiers: [saturated, view('cpu')], firstTierOnly: true });
    expect(where(answer)).toEqual(['none', 'gpu_saturated']);
  });

  it('is none where the deadline is too short, and the caller hears when it may try again', () => {
    const wait = (aheadTokens: number): number => {
      const tiers = [view('gpu', { aheadTokens, workers: [GPU] })];
      const decision = ask({ tiers });
      return decision.kind === 'refuse' ? decision.retryAfterMs : NaN;
    };
    expect(wait(8_000)).toBeGreaterThanOrEqual(250);
    expect(wait(12_000)).toBeGreaterThan(wait(8_000));
    expect(wait(1e6)).toBe(5_000);
    expect(where(ask({ remainingMs: 20 }))[0]).toBe('none');
    expect(where(ask({ tiers: [] }))).toEqual(['none', 'no_tier_declared']);
  });

  it('lets the only tier there is fill up to the deadline, as there is nothing to fail over to', () => {
    const alone = ask({ tiers: [view('cpu')] });
    const beside = ask({ tiers: [view('cpu'), view('remote', { workers: [{ ...CPU, busyMs: 900 }] })] });
    if (alone.kind !== 'admit' || beside.kind !== 'admit') throw new Error('both can be answered');
    expect(alone.maxAheadTokens).toBeGreaterThan(beside.maxAheadTokens);
  });
});

const anyQuestion = fc.record({
  tiers: fc.tuple(anyView('gpu'), anyView('remote'), anyView('cpu')),
  tokens: anyTokens,
  remainingMs: between(-100, 5_000),
  firstTierOnly: fc.boolean(),
  excluded: fc.boolean().map((failed): ReadonlySet<TierName> => new Set(failed ? ['gpu'] : [])),
  draw: between(0, 0.999),
});
/** Of workers whose tokens cost nothing. */
const NO_BOUND = 1e9;
const runs = { numRuns: 500 };

/** What decide() lets a prediction take of the time left: a quarter is kept for the way back. */
const SAFETY_SHARE = 0.75;
/** Tiers that would take the query by their share, and answer it in time. */
const inTimeAndOpen = ({ tiers, tokens, remainingMs, draw, excluded, firstTierOnly }: Question): string[] =>
  tiers
    .slice(0, firstTierOnly ? 1 : undefined)
    .filter((tier) => draw < tier.share && !excluded?.has(tier.name))
    .filter((tier) => (predictArrivalMs(tier, tokens) ?? Infinity) <= remainingMs * SAFETY_SHARE)
    .map(({ name }) => name);

describe('every decision', () => {
  it('admits nothing that is predicted to be late, nor where it must not', () => {
    fc.assert(
      fc.property(anyQuestion, (question) => {
        const decision = decide(question);
        if (decision.kind === 'refuse') return;
        const tier = question.tiers.find(({ name }) => name === decision.tier);
        if (!tier) throw new Error('an unknown tier');
        expect(decision.predictedMs).toBe(predictArrivalMs(tier, question.tokens));
        expect(decision.predictedMs).toBeLessThan(question.remainingMs);
        expect(tier.share).toBeGreaterThan(0);
        // A tier that returns takes more than its share only where nobody else would be in time.
        if (tier.share <= question.draw) expect(inTimeAndOpen(question)).toEqual([]);
        expect(question.excluded.has(decision.tier)).toBe(false);
        if (question.firstTierOnly) expect(decision.tier).toBe('gpu');
        expect(decision.reason === null).toBe(decision.tier === 'gpu');
      }),
      runs,
    );
  });

  it('holds for its own backlog and for less, and is decided anew beyond the most that it names', () => {
    fc.assert(
      fc.property(anyQuestion, between(0, 1), (question, part) => {
        const decision = decide(question);
        if (decision.kind === 'refuse') return;
        const at = (aheadTokens: number): Decision => {
          const tiers = question.tiers.map((tier) =>
            tier.name === decision.tier ? { ...tier, aheadTokens } : tier,
          );
          return decide({ ...question, tiers });
        };
        const ahead = question.tiers.find(({ name }) => name === decision.tier)?.aheadTokens ?? 0;
        expect(decision.maxAheadTokens).toBeGreaterThanOrEqual(ahead);
        expect(where(at(Math.floor(decision.maxAheadTokens * part)))).toEqual(where(decision));
        if (decision.maxAheadTokens >= NO_BOUND) return;
        const beyond = at(decision.maxAheadTokens + 1);
        // Where the same tier is taken again it is for another reason, and so up to another backlog.
        if (beyond.kind === 'admit' && beyond.tier === decision.tier) {
          expect(beyond.maxAheadTokens).toBeGreaterThan(decision.maxAheadTokens);
        }
      }),
      runs,
    );
  });

  it('refuses only where no tier that it may take is predicted in time', () => {
    fc.assert(
      fc.property(anyQuestion, (question) => {
        if (decide(question).kind === 'admit') return;
        expect(inTimeAndOpen(question)).toEqual([]);
      }),
      runs,
    );
  });
});
