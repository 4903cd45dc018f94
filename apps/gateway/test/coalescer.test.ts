import { AppError } from '@embergate/contracts/errors.ts';
import fc from 'fast-check';
import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Coalescer } from '../src/coalescer.ts';

/** Stands for embedding a text: each run of it ends when the test says so. */
function fakeWork() {
  const runs: { signal: AbortSignal; deadlineMs: number; done: PromiseWithResolvers<string> }[] = [];
  const start = (signal: AbortSignal, deadlineMs: number): Promise<string> => {
    const done = Promise.withResolvers<string>();
    runs.push({ signal, deadlineMs, done });
    signal.addEventListener('abort', () => done.reject(signal.reason as Error));
    return done.promise;
  };
  return { runs, start };
}

/** What became of a call, as soon as it is known. */
function watch<T>(call: Promise<T>): { outcome: T | Error | undefined } {
  const seen: { outcome: T | Error | undefined } = { outcome: undefined };
  call.then(
    (value) => (seen.outcome = value),
    (error: Error) => (seen.outcome = error),
  );
  return seen;
}

const tooLate = new AppError('deadline_exceeded', 'No vector came.', {
  details: { reason: 'gpu_saturated' },
});
const noTier = new AppError('no_tier_available', 'All are too slow.');

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  // Whatever a story was about: it leaves no timer behind.
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});
const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe('callers with the same query at the same time', () => {
  it('share one run and its answer; another query, or the same one later, runs on its own', async () => {
    const { runs, start } = fakeWork();
    const coalescer = new Coalescer<string>();
    const calls = Array.from({ length: 100 }, () => coalescer.run('a', { deadlineMs: 1_000 }, start));
    const other = coalescer.run('b', { deadlineMs: 1_000 }, start);
    expect(runs).toHaveLength(2);
    runs[0]?.done.resolve('A');
    runs[1]?.done.resolve('B');
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['A']));
    expect(await other).toBe('B');
    const later = coalescer.run('a', { deadlineMs: 1_000 }, start);
    expect(runs).toHaveLength(3);
    runs[2]?.done.resolve('A again');
    expect(await later).toBe('A again');
  });

  it('give the run the leader’s deadline', async () => {
    const { runs, start } = fakeWork();
    const coalescer = new Coalescer<string>();
    const leader = coalescer.run('a', { deadlineMs: 700 }, start);
    const follower = coalescer.run('a', { deadlineMs: 9_000 }, start);
    expect(runs.map((run) => run.deadlineMs)).toEqual([700]);
    runs[0]?.done.resolve('A');
    await Promise.all([leader, follower]);
  });

  it('each wait no longer than their own deadline', async () => {
    const { runs, start } = fakeWork();
    const coalescer = new Coalescer<string>();
    const leader = watch(coalescer.run('a', { deadlineMs: 2_000 }, start));
    const hasty = watch(coalescer.run('a', { deadlineMs: 300 }, start));
    await pass(299);
    expect(hasty.outcome).toBeUndefined();
    await pass(1);
    expect(hasty.outcome).toMatchObject({ code: 'deadline_exceeded' });
    expect(runs[0]?.signal.aborted).toBe(false);
    runs[0]?.done.resolve('A');
    await pass(0);
    expect(leader.outcome).toBe('A');
  });

  it('learn from the run itself why it was late, and do not wait for one that says nothing', async () => {
    const { runs, start } = fakeWork();
    const coalescer = new Coalescer<string>();
    const told = watch(coalescer.run('a', { deadlineMs: 1_000 }, start));
    await pass(1_010);
    runs[0]?.done.reject(tooLate);
    await pass(0);
    expect(told.outcome).toBe(tooLate);

    const untold = watch(coalescer.run('b', { deadlineMs: 1_000 }, start));
    await pass(1_100);
    expect(untold.outcome).toMatchObject({ code: 'deadline_exceeded' });
    expect(runs[1]?.signal.aborted).toBe(true);
  });

  it('all fail when the run fails', async () => {
    const coalescer = new Coalescer<string>();
    const { runs, start } = fakeWork();
    const broken = new AppError('embedding_failed', 'The model broke.');
    const calls = [1_000, 5_000].map((deadlineMs) => watch(coalescer.run('a', { deadlineMs }, start)));
    runs[0]?.done.reject(broken);
    await pass(0);
    expect(calls.map((call) => call.outcome)).toEqual([broken, broken]);
    expect(runs).toHaveLength(1);

    const thrower = () => {
      throw broken;
    };
    await expect(coalescer.run('a', { deadlineMs: 1_000 }, thrower)).rejects.toBe(broken);
    const next = coalescer.run('a', { deadlineMs: 1_000 }, start);
    runs[1]?.done.resolve('A');
    expect(await next).toBe('A');
  });
});

describe('a caller that leaves', () => {
  it('is let go at once, and the others get their answer, the leader’s followers too', async () => {
    const { runs, start } = fakeWork();
    const coalescer = new Coalescer<string>();
    const leaving = new AbortController();
    const leader = watch(coalescer.run('a', { deadlineMs: 1_000, signal: leaving.signal }, start));
    const follower = watch(coalescer.run('a', { deadlineMs: 1_000 }, start));
    const gone = new Error('the client left');
    leaving.abort(gone);
    await pass(0);
    expect(leader.outcome).toBe(gone);
    expect(runs[0]?.signal.aborted).toBe(false);
    runs[0]?.done.resolve('A');
    await pass(0);
    expect(follower.outcome).toBe('A');
  });

  it('ends the run when it is the last one, and who comes next begins anew', async () => {
    const { runs, start } = fakeWork();
    const coalescer = new Coalescer<string>();
    const leaving = new AbortController();
    const gone = new Error('the client left');
    const leader = watch(coalescer.run('a', { deadlineMs: 500, signal: leaving.signal }, start));
    const follower = watch(coalescer.run('a', { deadlineMs: 100 }, start));
    await pass(100);
    expect(follower.outcome).toMatchObject({ code: 'deadline_exceeded' });
    leaving.abort(gone);
    expect(runs[0]?.signal).toMatchObject({ aborted: true, reason: gone });
    const next = watch(coalescer.run('a', { deadlineMs: 500 }, start));
    await pass(0);
    expect(leader.outcome).toBe(gone);
    expect(runs).toHaveLength(2);
    runs[1]?.done.resolve('A');
    await pass(0);
    expect(next.outcome).toBe('A');
  });

  it('before it came, or with no time left, begins nothing', async () => {
    const { runs, start } = fakeWork();
    const coalescer = new Coalescer<string>();
    const gone = new Error('the client left');
    const signal = AbortSignal.abort(gone);
    await expect(coalescer.run('a', { deadlineMs: 500, signal }, start)).rejects.toBe(gone);
    await expect(coalescer.run('a', { deadlineMs: 0 }, start)).rejects.toMatchObject({
      code: 'deadline_exceeded',
    });
    expect(runs).toHaveLength(0);
  });

  it('leaves no listener on its signal, however its call ends', async () => {
    const { runs, start } = fakeWork();
    const coalescer = new Coalescer<string>();
    const stays = new AbortController();
    const { signal } = stays;
    const answered = coalescer.run('a', { deadlineMs: 1_000, signal }, start);
    const failed = watch(coalescer.run('b', { deadlineMs: 1_000, signal }, start));
    const late = watch(coalescer.run('a', { deadlineMs: 100, signal }, start));
    expect(getEventListeners(signal, 'abort')).toHaveLength(3);
    await pass(100);
    runs[0]?.done.resolve('A');
    runs[1]?.done.reject(new Error('broken'));
    await answered;
    await pass(0);
    expect(late.outcome).toMatchObject({ code: 'deadline_exceeded' });
    expect(failed.outcome).toMatchObject({ message: 'broken' });
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('a run that had too little time', () => {
  it.each([tooLate, noTier])('is begun again by who has more of it: $code', async (failure) => {
    const { runs, start } = fakeWork();
    const coalescer = new Coalescer<string>();
    const leader = watch(coalescer.run('a', { deadlineMs: 300 }, start));
    const alike = watch(coalescer.run('a', { deadlineMs: 310 }, start));
    const patient = watch(coalescer.run('a', { deadlineMs: 2_000 }, start));
    await pass(200);
    runs[0]?.done.reject(failure);
    await pass(0);
    expect([leader.outcome, alike.outcome, patient.outcome]).toEqual([failure, failure, undefined]);
    expect(runs.map((run) => run.deadlineMs)).toEqual([300, 1_800]);
    runs[1]?.done.resolve('A');
    await pass(0);
    expect(patient.outcome).toBe('A');
  });

  it('is led again by the one with most time left, and the others join it', async () => {
    const { runs, start } = fakeWork();
    const coalescer = new Coalescer<string>();
    const leader = watch(coalescer.run('a', { deadlineMs: 300 }, start));
    const followers = [500, 900, 3_000, 700].map((deadlineMs) =>
      watch(coalescer.run('a', { deadlineMs }, start)),
    );
    await pass(300);
    runs[0]?.done.reject(tooLate);
    await pass(0);
    expect(leader.outcome).toBe(tooLate);
    expect(runs.map((run) => run.deadlineMs)).toEqual([300, 2_700]);
    await pass(250);
    runs[1]?.done.resolve('A');
    await pass(0);
    expect(followers.map((call) => (call.outcome instanceof AppError ? 'late' : call.outcome))).toEqual([
      'late',
      'A',
      'A',
      'A',
    ]);
  });

  it('is not begun again for a follower that has left', async () => {
    const { runs, start } = fakeWork();
    const coalescer = new Coalescer<string>();
    const leaving = new AbortController();
    const leader = watch(coalescer.run('a', { deadlineMs: 300 }, start));
    const follower = watch(coalescer.run('a', { deadlineMs: 2_000, signal: leaving.signal }, start));
    leaving.abort(new Error('the client left'));
    runs[0]?.done.reject(tooLate);
    await pass(0);
    expect(leader.outcome).toBe(tooLate);
    expect(follower.outcome).toMatchObject({ message: 'the client left' });
    expect(runs).toHaveLength(1);
  });
});

it('whatever callers and runs do, every call ends by its deadline, and no run goes on for nobody', async () => {
  const caller = fc.record({
    at: fc.nat(500),
    key: fc.constantFrom('a', 'b'),
    deadlineMs: fc.integer({ min: 1, max: 500 }),
    leavesAfter: fc.option(fc.nat(500)),
  });
  interface Run {
    takesMs: number;
    ends: 'answer' | 'late' | 'broken' | 'silent';
  }
  const run = fc.record<Run>({
    takesMs: fc.nat(600),
    ends: fc.constantFrom('answer', 'late', 'broken', 'silent'),
  });
  const story = fc.record({ callers: fc.array(caller, { maxLength: 20 }), runs: fc.infiniteStream(run) });
  await fc.assert(
    fc.asyncProperty(story, async ({ callers, runs }) => {
      const coalescer = new Coalescer<string>();
      const faults: string[] = [];
      const running = new Set<string>();
      const work = (key: string) => async (signal: AbortSignal, deadlineMs: number) => {
        if (running.has(key)) faults.push(`${key} runs twice at once`);
        running.add(key);
        signal.addEventListener('abort', () => running.delete(key));
        const { takesMs, ends } = runs.next().value as Run;
        await wait(Math.min(takesMs, deadlineMs));
        if (signal.aborted) throw signal.reason;
        if (ends === 'silent') return new Promise<string>(() => undefined);
        running.delete(key);
        if (takesMs > deadlineMs || ends === 'late') throw tooLate;
        if (ends === 'broken') throw new Error('broken');
        return key;
      };
      const call = async ({ at, key, deadlineMs, leavesAfter }: (typeof callers)[number]) => {
        await wait(at);
        const leaving = new AbortController();
        const { signal } = leaving;
        if (leavesAfter !== null) setTimeout(() => leaving.abort(new Error('left')), leavesAfter);
        const begun = performance.now();
        const outcome = await coalescer.run(key, { deadlineMs, signal }, work(key)).catch(() => key);
        const tookMs = performance.now() - begun;
        if (outcome !== key) faults.push(`${key} was answered with ${outcome}`);
        if (tookMs > Math.min(deadlineMs + 51, leavesAfter ?? Infinity)) faults.push(`it took ${tookMs} ms`);
        if (getEventListeners(signal, 'abort').length > 0) faults.push('a listener stayed');
      };
      const calls = Promise.all(callers.map(call));
      await vi.runAllTimersAsync();
      await calls;
      expect(faults).toEqual([]);
      expect([...running]).toEqual([]);
    }),
    { numRuns: 300 },
  );
});
