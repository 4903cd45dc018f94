import type { SearchResult } from '@embergate/contracts/http-search.ts';
import { fuse, type FusionWeights } from '@embergate/retrieval/fuse.ts';
import { table } from '../output.ts';
import type { Answers } from './ask.ts';
import type { EvalItem } from './corpus.ts';
import { CUTOFF, scoresOf } from './report.ts';

/** One way to merge the dense and the lexical list, and how good it was. */
export interface SweepRow {
  fusion: string;
  /** The dense list's share of the weight. */
  denseShare: number;
  mrr: number;
  recall: number;
}

const SHARES = [0.4, 0.5, 0.55, 0.6, 0.625, 0.65, 0.7, 0.75, 0.8, 0.9];

/** What a fusion is compared with: ranks instead of scores. */
const RANK_CONSTANTS = [10, 60];

type Fusion = (dense: SearchResult[], lexical: SearchResult[], weights: FusionWeights) => SearchResult[];

/** Merges the same two lists in many ways, to choose a fusion. Choose on other functions than are reported. */
export function sweep(items: readonly EvalItem[], { dense, lexical }: Answers): SweepRow[] {
  const fusions: [string, Fusion][] = [
    ['scores (in use)', fuse],
    ...RANK_CONSTANTS.map((k): [string, Fusion] => [`ranks, k=${k}`, byRank(k)]),
  ];
  return fusions.flatMap(([fusion, merge]) =>
    SHARES.map((denseShare) => {
      const weights = { dense: denseShare, lexical: 1 - denseShare };
      const { mrr, recall } = scoresOf(
        items,
        items.map((_, index) => merge(dense[index] ?? [], lexical[index] ?? [], weights)),
      );
      return { fusion, denseShare, mrr: mean(mrr), recall: mean(recall) };
    }),
  );
}

export function sweepTable(rows: readonly SweepRow[]): string {
  return table([
    ['FUSION', 'DENSE', `MRR@${CUTOFF}`, `RECALL@${CUTOFF}`],
    ...rows.map(({ fusion, denseShare, mrr, recall }) => [
      fusion,
      denseShare.toFixed(3),
      mrr.toFixed(3),
      recall.toFixed(3),
    ]),
  ]);
}

/** Reciprocal rank fusion: Cormack, Clarke, Büttcher, SIGIR 2009, with weights. */
const byRank =
  (k: number): Fusion =>
  (dense, lexical, weights) => {
    const merged = new Map<string, SearchResult>();
    const add = (list: SearchResult[], weight: number): void =>
      list.forEach((result, index) => {
        const known = merged.get(result.id)?.score ?? 0;
        merged.set(result.id, { ...result, score: known + weight / (k + index + 1) });
      });
    add(dense, weights.dense);
    add(lexical, weights.lexical);
    return [...merged.values()].sort((one, other) => other.score - one.score);
  };

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
