import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Batcher } from '../src/batcher.ts';
import { FakeBackend, FitThatStays, text } from './fake-backends.ts';

const late = { code: 'deadline_exceeded' };

describe('work that nobody waits for', () => {
  let backend: FakeBackend;
  let batcher: Batcher;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
    backend = new FakeBackend();
    batcher = new Batcher({ backend, fit: new FitThatStays({ a: 0, b: 1 }) });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('is not computed once its deadline has passed', async () => {
    const running = batcher.submit([text(1, 10)], { lane: 'query' });
    await backend.untilBatch();
    const now = performance.now();
    const tooLate = ['query', 'bulk'].map((lane) =>
      expect(
        batcher.submit([text(2, 10)], { lane: lane as 'query' | 'bulk', deadline: now + 100 }),
      ).rejects.toMatchObject(late),
    );
    const inTime = batcher.submit([text(3, 10)], { lane: 'query', deadline: now + 101 });
    vi.advanceTimersByTime(100);
    await backend.finishBatch();
    await backend.finishBatch();
    await Promise.all([running, inTime, ...tooLate]);
    expect(backend.batches).toEqual([[1], [3]]);
  });

  it('a request of which a part is done gives up the rest', async () => {
    const texts = [text(1, 250), text(2, 250), text(3, 250)];
    const answer = expect(
      batcher.submit(texts, { lane: 'bulk', deadline: performance.now() + 100 }),
    ).rejects.toMatchObject(late);
    await backend.untilBatch();
    vi.advanceTimersByTime(200);
    await backend.finishBatch();
    await answer;
    await batcher.close();
    expect(backend.batches).toHaveLength(1);
  });

  it('is not tried again after the process ended, and does not wait for the next one', async () => {
    const answers = [
      expect(
        batcher.submit([text(1, 10)], { lane: 'query', deadline: performance.now() + 100 }),
      ).rejects.toMatchObject(late),
    ];
    const patient = batcher.submit([text(2, 10)], { lane: 'query' });
    await backend.untilBatch();
    vi.advanceTimersByTime(200);
    await backend.die();
    // It leaves while the model is still away.
    await Promise.all(answers);
    expect(backend.isReady).toBe(false);
    backend.comeBack();
    await backend.finishBatch();
    expect([...(await patient).vectors]).toEqual([2, 10]);
    expect(backend.batches).toEqual([[1, 2], [2]]);
  });

  it('while the model is away, closing gives queries back and does not wait for it', async () => {
    const answer = expect(batcher.submit([text(1, 10)], { lane: 'query' })).rejects.toMatchObject({
      code: 'shutting_down',
    });
    await backend.untilBatch();
    await backend.die();
    await batcher.close();
    await answer;
    expect(backend.batches).toEqual([[1]]);
  });
});
