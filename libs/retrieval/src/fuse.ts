import type { FusionWeights } from '@embergate/contracts/http-search.ts';
import type { ScoredChunk } from '@embergate/vector-store/store.ts';

/** Chosen by measurement (docs/benchmarks.md, "Retrieval quality"): what loses least on any of four sets of questions. */
export const DEFAULT_WEIGHTS: FusionWeights = { dense: 3, lexical: 2 };

/**
 * Merges two lists by a convex combination of their scores. Cosines and BM25 have no common scale, so each list is
 * brought to its own: 1 for its best, 0 for its worst and for what is not in it.
 *
 * ```
 * score(d) = (wd * n(dense, d) + wl * n(lexical, d)) / (wd + wl)
 * n(list, d) = (s(d) - worst) / (best - worst)
 * ```
 * Unlike ranks, scores keep how far ahead a candidate is: one exact name beats a crowd of near neighbours, and the
 * other way round. Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", ACM TOIS 2023.
 * @returns every chunk of either list once, best first; scores are 0 to 1 and compare within one answer only.
 */
export function fuse(
  dense: readonly ScoredChunk[],
  lexical: readonly ScoredChunk[],
  weights: FusionWeights = DEFAULT_WEIGHTS,
): ScoredChunk[] {
  const fused = new Map<string, ScoredChunk>();
  const add = (list: readonly ScoredChunk[], weight: number): void => {
    const shares = normalised(list);
    list.forEach((chunk, index) => {
      const known = fused.get(chunk.id)?.score ?? 0;
      fused.set(chunk.id, { ...chunk, score: known + weight * (shares[index] ?? 0) });
    });
  };
  const total = weights.dense + weights.lexical;
  add(dense, weights.dense / total);
  add(lexical, weights.lexical / total);
  return [...fused.values()].sort(byScore);
}

function normalised(list: readonly ScoredChunk[]): number[] {
  const scores = list.map(({ score }) => score);
  const best = Math.max(...scores);
  const worst = Math.min(...scores);
  // Equal scores, or a list of one: none is worse than the best.
  return scores.map((score) => (best > worst ? (score - worst) / (best - worst) : 1));
}

const byScore = (one: ScoredChunk, other: ScoredChunk): number =>
  other.score - one.score || (one.id < other.id ? -1 : 1);
