import type { Warning } from '@embergate/contracts/http-search.ts';
import { withTimeout } from '@embergate/platform/with-timeout.ts';
import { RerankSkipped, type Ranking, type Reranker, type SkipReason } from '@embergate/rerank/reranker.ts';
import type { ScoredChunk } from '@embergate/vector-store/store.ts';

/** How a list was reranked: wholly, its first part for want of time, or not at all. */
export type RerankOutcome = 'done' | 'shortened' | SkipReason;

export interface RerankStage {
  reranker: Reranker;
  /** At most this much of a search, in milliseconds. */
  deadlineMs: number;
  /** Told of every list. `ms`: what it took; `error`: what no reranker should throw. */
  onOutcome?: (outcome: RerankOutcome, figures: { ms: number; ranked: number; error?: unknown }) => void;
}

export interface RerankRequest {
  query: string;
  /** When the search's answer is due, in the time of performance.now(). */
  until: number;
  signal?: AbortSignal | undefined;
}

export interface Reranked {
  chunks: ScoredChunk[];
  warnings: Warning[];
  ms: number;
}

/** What is kept of the search's time for its answer, in milliseconds. */
const ANSWER_MS = 15;
/** A reranker that is told to stop gets this long, in milliseconds, before it is not waited for. */
const GRACE_MS = 25;

/** A stage of a deployment without a reranker. */
const ABSENT: Warning = {
  code: 'rerank_skipped',
  message: 'This deployment has no reranker (see RERANKER); results are in fusion order.',
};

/**
 * Puts chunks into the reranker's order, within its own deadline and the search's. Whatever fails, the chunks stay as they were, with a
 * warning that says why: a search never fails because of its reranker.
 *
 * @param chunks best first.
 * @returns all of them: first those that were looked at, scored 0 to 1 by the reranker, then the others, scored below them.
 */
export async function rerank(
  stage: RerankStage | undefined,
  chunks: ScoredChunk[],
  request: RerankRequest,
): Promise<Reranked> {
  if (!stage) return { chunks, warnings: [ABSENT], ms: 0 };
  const startedAt = performance.now();
  const passages = chunks.slice(0, stage.reranker.maxPassages).map(({ text }) => text);
  const until = Math.min(startedAt + stage.deadlineMs, request.until - ANSWER_MS);
  const told = (outcome: RerankOutcome, figures: { ranked: number; error?: unknown }): number => {
    const ms = performance.now() - startedAt;
    stage.onOutcome?.(outcome, { ms, ...figures });
    return ms;
  };
  try {
    const waitUntil = Math.min(until + GRACE_MS, request.until);
    const ranking = await inTime(stage.reranker, passages, { ...request, until, waitUntil });
    const isShort = ranking.length < passages.length;
    const ms = told(isShort ? 'shortened' : 'done', { ranked: ranking.length });
    const warnings = isShort ? [shortened(ranking.length, passages.length)] : [];
    return { chunks: inOrder(chunks, ranking), warnings, ms };
  } catch (thrown) {
    const isSkipped = thrown instanceof RerankSkipped;
    const { reason, message } = isSkipped ? thrown : new RerankSkipped('failed', 'the reranker failed');
    const warning = {
      code: 'rerank_skipped',
      message: `Results are in fusion order (${reason}): ${message}.`,
    };
    return {
      chunks,
      warnings: [warning],
      ms: told(reason, { ranked: 0, ...(!isSkipped && { error: thrown }) }),
    };
  }
}

/** A reranker stops by itself at its time; one that does not is left behind. */
function inTime(
  reranker: Reranker,
  passages: readonly string[],
  { query, until, waitUntil, signal }: RerankRequest & { waitUntil: number },
): Promise<Ranking> {
  const left = until - performance.now();
  if (left <= 0) return Promise.reject(new RerankSkipped('no_time', 'no time is left for it'));
  return withTimeout(
    reranker.rerank(query, passages, { until, signal }),
    waitUntil - performance.now(),
    () => new RerankSkipped('late', 'it was not done in time'),
  );
}

const shortened = (ranked: number, count: number): Warning => ({
  code: 'rerank_shortened',
  message: `Only the first ${ranked} of ${count} candidates were reranked; the reranker got no further.`,
});

/** Scores fall from the first to the last, whoever gave them: what comes after merges and folds by them. */
function inOrder(chunks: readonly ScoredChunk[], ranking: Ranking): ScoredChunk[] {
  const ranked = ranking.map(({ at, score }) => ({ ...(chunks[at] as ScoredChunk), score }));
  const looked = new Set(ranking.map(({ at }) => at));
  const others = chunks.filter((_, at) => !looked.has(at));
  const lowest = ranked.at(-1)?.score ?? 1;
  return [
    ...ranked,
    ...others.map((chunk, at) => ({ ...chunk, score: lowest * (1 - (at + 1) / (others.length + 1)) })),
  ];
}
