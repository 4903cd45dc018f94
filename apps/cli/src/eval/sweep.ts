import type { FusionWeights, SearchResult } from '@embergate/contracts/http-search.ts';
import { diversify } from '@embergate/retrieval/diversify.ts';
import { fold } from '@embergate/retrieval/fold.ts';
import { DEFAULT_WEIGHTS, fuse } from '@embergate/retrieval/fuse.ts';
import { mergeNeighbours } from '@embergate/retrieval/merge-neighbours.ts';
import { table } from '../output.ts';
import type { Answers } from './ask.ts';
import type { Configuration } from './configuration.ts';
import type { Question } from './question.ts';
import { CUTOFF, scoresOf } from './report.ts';

/** One way to make a list of the dense and the lexical one, and how good it was. */
export interface SweepRow {
  way: string;
  /** The dense list's share of the weight. */
  denseShare: number;
  mrr: number;
  ndcg: number;
  recall: number;
}

/** As deep as the lists go, and as they are in the store. */
const AS_STORED = { limit: 100, arrange: { fold: false, diversify: false, merge: false } };
export const SWEPT: readonly Configuration[] = [
  { name: 'dense as stored', request: { mode: 'dense', ...AS_STORED } },
  { name: 'lexical as stored', request: { mode: 'lexical', ...AS_STORED } },
];

const SHARES = [0.3, 0.4, 0.5, 0.55, 0.6, 0.625, 0.65, 0.7, 0.75, 0.8, 0.9];
const DECAYS = [0.98, 0.95, 0.9, 0.85, 0.8, 0.7];
const CAPS = [1, 2, 3, 5];
const DENSE_SHARE = DEFAULT_WEIGHTS.dense / (DEFAULT_WEIGHTS.dense + DEFAULT_WEIGHTS.lexical);

type ScoredChunk = Omit<SearchResult, 'duplicates'>;
type Ranking = ScoredChunk[];
type Fusion = (dense: Ranking, lexical: Ranking, weights: FusionWeights) => Ranking;
type Arrangement = (ranked: Ranking) => SearchResult[];

/** Ranks instead of scores, to compare with. */
const FUSIONS: [string, Fusion][] = [
  ['scores (in use)', fuse],
  ['ranks, k=10', byRank(10)],
  ['ranks, k=60', byRank(60)],
];
const ARRANGEMENTS: [string, Arrangement][] = [
  ['as found', alone],
  ['fold', fold],
  ['fold, merge', (ranked) => mergeNeighbours(fold(ranked), CUTOFF)],
  ...DECAYS.map((decay): [string, Arrangement] => [
    `fold, merge, decay ${decay}`,
    (ranked) => diversify(mergeNeighbours(fold(ranked), CUTOFF), decay),
  ]),
  ...CAPS.map((cap): [string, Arrangement] => [
    `fold, merge, ${cap} a file first`,
    (ranked) => capped(mergeNeighbours(fold(ranked), CUTOFF), cap),
  ]),
];

/**
 * Makes lists out of the same two in many ways, to choose one: the weights on what is found, then what is done with it at the
 * weights in use. Choose on other questions than are reported.
 * @param answers to the configurations {@link SWEPT}.
 */
export function sweep(
  questions: readonly Question[],
  [dense = [], lexical = []]: readonly Answers[],
): SweepRow[] {
  const row = (way: string, denseShare: number, list: (index: number) => SearchResult[]): SweepRow => {
    const { mrr, ndcg, recall } = scoresOf(
      questions,
      questions.map((_, index) => list(index)),
    );
    return { way, denseShare, mrr: mean(mrr), ndcg: mean(ndcg), recall: mean(recall) };
  };
  const fused = (fusion: Fusion, index: number, denseShare: number): Ranking =>
    fusion(dense[index] ?? [], lexical[index] ?? [], { dense: denseShare, lexical: 1 - denseShare });
  return [
    ...FUSIONS.flatMap(([way, fusion]) =>
      SHARES.map((share) => row(way, share, (index) => alone(fused(fusion, index, share)))),
    ),
    ...ARRANGEMENTS.map(([way, arrangement]) =>
      row(way, DENSE_SHARE, (index) => arrangement(fused(fuse, index, DENSE_SHARE))),
    ),
  ];
}

export function sweepTable(rows: readonly SweepRow[]): string {
  return table([
    ['WAY', 'DENSE', `MRR@${CUTOFF}`, `nDCG@${CUTOFF}`, `RECALL@${CUTOFF}`],
    ...rows.map(({ way, denseShare, mrr, ndcg, recall }) => [
      way,
      denseShare.toFixed(3),
      mrr.toFixed(3),
      ndcg.toFixed(3),
      recall.toFixed(3),
    ]),
  ]);
}

function alone(ranked: Ranking): SearchResult[] {
  return ranked.map((chunk) => ({ ...chunk, duplicates: [] }));
}

/** At most `cap` results of a file, then the others. */
function capped<T extends ScoredChunk>(ranked: readonly T[], cap: number): T[] {
  const counts = new Map<string, number>();
  const over: T[] = [];
  const first = ranked.filter((chunk) => {
    const count = (counts.get(chunk.path) ?? 0) + 1;
    counts.set(chunk.path, count);
    if (count > cap) over.push(chunk);
    return count <= cap;
  });
  return [...first, ...over];
}

/** Reciprocal rank fusion: Cormack, Clarke, Büttcher, SIGIR 2009, with weights. */
function byRank(k: number): Fusion {
  return (dense, lexical, weights) => {
    const merged = new Map<string, ScoredChunk>();
    const add = (list: Ranking, weight: number): void =>
      list.forEach((chunk, index) => {
        const known = merged.get(chunk.id)?.score ?? 0;
        merged.set(chunk.id, { ...chunk, score: known + weight / (k + index + 1) });
      });
    add(dense, weights.dense);
    add(lexical, weights.lexical);
    return [...merged.values()].sort((one, other) => other.score - one.score);
  };
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
