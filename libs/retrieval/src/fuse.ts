import type { ScoredChunk } from '@embergate/vector-store/store.ts';

/** How far down a list a rank still differs from the next one; the usual constant of reciprocal rank fusion. */
const RRF_K = 60;

export interface FusionWeights {
  dense: number;
  lexical: number;
}

/** Chosen by measurement: docs/benchmarks.md, "Fusion weights". Equal weights are worse than dense alone. */
export const DEFAULT_WEIGHTS: FusionWeights = { dense: 2, lexical: 1 };

/**
 * Weighted reciprocal rank fusion: score(d) = sum over lists of weight / (k + rank(d)), scaled so that a document that
 * leads both lists scores 1. Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR 2009;
 * the weights are ours.
 */
export function fuse(dense: ScoredChunk[], lexical: ScoredChunk[], weights: FusionWeights = DEFAULT_WEIGHTS): ScoredChunk[] {
  const fused = new Map<string, ScoredChunk>();
  const add = (list: ScoredChunk[], weight: number): void => {
    list.forEach((chunk, rank) => {
      const share = (weight * (RRF_K + 1)) / ((weights.dense + weights.lexical) * (RRF_K + 1 + rank));
      const known = fused.get(chunk.id);
      fused.set(chunk.id, { ...chunk, score: (known?.score ?? 0) + share });
    });
  };
  add(dense, weights.dense);
  add(lexical, weights.lexical);
  return [...fused.values()].sort((a, b) => b.score - a.score || a.id.localeCompare(b.id));
}
