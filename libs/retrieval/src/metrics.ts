import type { JudgedAnswer } from './judge.ts';

/** 1 / rank of the first useful result within the first `cutoff`, else 0. The mean over questions is MRR@cutoff. */
export function reciprocalRank({ grades }: JudgedAnswer, cutoff: number): number {
  const index = grades.slice(0, cutoff).findIndex((grade) => grade > 0);
  return index < 0 ? 0 : 1 / (index + 1);
}

/** The share of all that is relevant within the first `cutoff` results, whatever its grade. The mean is recall@cutoff. */
export function recall({ foundAt }: JudgedAnswer, cutoff: number): number {
  return foundAt.length === 0 ? 0 : foundAt.filter((rank) => rank < cutoff).length / foundAt.length;
}

/**
 * Normalised discounted cumulative gain of the first `cutoff` results:
 *
 * ```
 * DCG = sum over ranks r = 1 ... cutoff of grade(r) / log2(r + 1)        nDCG = DCG / DCG of a perfect answer
 * ```
 * The gain is the grade itself, as in trec_eval's `ndcg_cut`. Järvelin, Kekäläinen, "Cumulated Gain-Based Evaluation of IR
 * Techniques", ACM TOIS 2002.
 */
export function ndcg({ grades, ideal }: JudgedAnswer, cutoff: number): number {
  const perfect = discountedGain(ideal, cutoff);
  return perfect === 0 ? 0 : discountedGain(grades, cutoff) / perfect;
}

const discountedGain = (grades: readonly number[], cutoff: number): number =>
  grades.slice(0, cutoff).reduce((sum, grade, index) => sum + grade / Math.log2(index + 2), 0);
