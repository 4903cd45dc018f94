import { RerankSkipped, type Reranker } from '@embergate/rerank/reranker.ts';
import type { ScoredChunk } from '@embergate/vector-store/store.ts';
import { describe, expect, test, vi } from 'vitest';
import { rerank, type RerankStage } from '../src/rerank.ts';

const chunk = (id: string, score: number): ScoredChunk => ({
  id,
  score,
  repo: 'r',
  path: `${id}.ts`,
  language: 'typescript',
  symbol: '',
  startLine: 1,
  endLine: 2,
  text: `text of ${id}`,
});
const FUSED = [chunk('a', 0.9), chunk('b', 0.8), chunk('c', 0.3), chunk('d', -0.2)];

/** A stage whose reranker does as the test says. */
function stageOf(does: Reranker['rerank'], options: Partial<RerankStage> & { maxPassages?: number } = {}) {
  const told: { outcome: string; ranked: number; error?: unknown }[] = [];
  const { maxPassages = 100, deadlineMs = 1_000 } = options;
  const close = async (): Promise<void> => undefined;
  const reranker: Reranker = { name: 'scripted', maxPassages, rerank: does, close };
  const onOutcome: RerankStage['onOutcome'] = (outcome, { ms: _ms, ...figures }) =>
    void told.push({ outcome, ...figures });
  return { told, stage: { reranker, deadlineMs, onOutcome } };
}
const asked = (leftMs = 10_000) => ({ query: 'q', until: performance.now() + leftMs });
const ids = (chunks: readonly ScoredChunk[]): string[] => chunks.map(({ id }) => id);
const backwards: Reranker['rerank'] = async (_query, passages) =>
  passages.map((_, rank) => ({ at: passages.length - 1 - rank, score: 1 - rank / 10 }));

describe('what a search with "rerank": true gets', () => {
  test('the reranker’s order and scores', async () => {
    const { stage, told } = stageOf(backwards);
    const { chunks, warnings, ms } = await rerank(stage, FUSED, asked());
    expect(ids(chunks)).toEqual(['d', 'c', 'b', 'a']);
    expect(chunks.map(({ score }) => score)).toEqual([1, 0.9, 0.8, 0.7]);
    expect(warnings).toEqual([]);
    expect(ms).toBeGreaterThan(0);
    expect(told).toEqual([{ outcome: 'done', ranked: 4 }]);
  });

  test('the others behind, in their order, where fewer are looked at than there are', async () => {
    const { stage } = stageOf(backwards, { maxPassages: 2 });
    const { chunks, warnings } = await rerank(stage, FUSED, asked());
    expect(ids(chunks)).toEqual(['b', 'a', 'c', 'd']);
    const scores = chunks.map(({ score }) => score);
    expect(scores).toEqual(scores.toSorted((a, b) => b - a));
    expect(scores.at(-1)).toBeGreaterThan(0);
    expect(warnings).toEqual([]);
  });

  test('a warning where time was too short for all', async () => {
    const { stage, told } = stageOf(async () => [
      { at: 1, score: 0.9 },
      { at: 0, score: 0.2 },
    ]);
    const { chunks, warnings } = await rerank(stage, FUSED, asked());
    expect(ids(chunks)).toEqual(['b', 'a', 'c', 'd']);
    expect(warnings).toMatchObject([
      { code: 'rerank_shortened', message: expect.stringContaining('first 2 of 4') },
    ]);
    expect(told).toEqual([{ outcome: 'shortened', ranked: 2 }]);
  });

  test('an answer in fusion order, with the reason, whatever the reranker does', async () => {
    const failures: [string, string, Reranker['rerank']][] = [
      ['away', 'it is loading', () => Promise.reject(new RerankSkipped('away', 'it is loading'))],
      ['failed', 'a bug', () => Promise.reject(new Error('a bug'))],
      [
        'failed',
        'not even a promise',
        () => {
          throw new Error('not even a promise');
        },
      ],
    ];
    for (const [reason, message, does] of failures) {
      const { stage, told } = stageOf(does);
      const { chunks, warnings } = await rerank(stage, FUSED, asked());
      expect(chunks).toEqual(FUSED);
      expect(warnings).toMatchObject([
        { code: 'rerank_skipped', message: expect.stringContaining(`(${reason})`) },
      ]);
      // What is no reranker's way to say that it can't is a defect, which somebody has to hear of.
      const isDefect = message !== 'it is loading';
      expect(told).toEqual([
        { outcome: reason, ranked: 0, ...(isDefect && { error: expect.objectContaining({ message }) }) },
      ]);
    }
  });

  test('no wait for a reranker that forgets its time, whether its own or the search’s', async () => {
    const never = stageOf(() => new Promise(() => undefined), { deadlineMs: 30 });
    const { warnings } = await rerank(never.stage, FUSED, asked());
    expect(warnings[0]?.message).toContain('(late)');
    const short = stageOf(() => new Promise(() => undefined), { deadlineMs: 60_000 });
    await rerank(short.stage, FUSED, asked(50));
    expect(short.told).toEqual([{ outcome: 'late', ranked: 0 }]);
  });

  test('its answer by its deadline, though the reranker stops only a moment after its own', async () => {
    vi.useFakeTimers();
    try {
      const stopped: Reranker['rerank'] = (_query, _passages, { until }) =>
        new Promise((_resolve, reject) => {
          setTimeout(() => reject(new Error('stopped')), until + 20 - performance.now());
        });
      const answer = vi.fn();
      void rerank(stageOf(stopped).stage, FUSED, asked(50)).then(answer);
      await vi.advanceTimersByTimeAsync(50);
      expect(answer).toHaveBeenCalled();
    } finally {
      vi.useRealTimers();
    }
  });

  test('no question to the reranker where the search has no time left', async () => {
    const { stage, told } = stageOf(() => Promise.reject(new Error('it was asked')));
    const { chunks } = await rerank(stage, FUSED, asked(1));
    expect(chunks).toEqual(FUSED);
    expect(told).toEqual([{ outcome: 'no_time', ranked: 0 }]);
  });

  test('a warning where the deployment has no reranker', async () => {
    const { chunks, warnings, ms } = await rerank(undefined, FUSED, asked());
    expect(chunks).toEqual(FUSED);
    expect(warnings).toMatchObject([{ code: 'rerank_skipped' }]);
    expect(ms).toBe(0);
  });
});
