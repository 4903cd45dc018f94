/** The first `limit` different values, in order: several chunks of one file count as one answer. */
export function distinct(ranked: readonly string[], limit: number): string[] {
  return [...new Set(ranked)].slice(0, limit);
}

/**
 * 1 / rank of the one right answer within the first `cutoff` different answers, 0 where it is not among them. The mean
 * over queries is MRR@cutoff.
 */
export function reciprocalRank(ranked: readonly string[], relevant: string, cutoff: number): number {
  const index = distinct(ranked, cutoff).indexOf(relevant);
  return index < 0 ? 0 : 1 / (index + 1);
}

/** 1 where the one right answer is within the first `cutoff` different answers, else 0. The mean is recall@cutoff. */
export function recall(ranked: readonly string[], relevant: string, cutoff: number): number {
  return distinct(ranked, cutoff).includes(relevant) ? 1 : 0;
}
