import { SEARCH_MODES, type SearchResult } from '@embergate/contracts/http-search.ts';
import { bootstrapMean, type MeanInterval } from '@embergate/retrieval/bootstrap.ts';
import { recall, reciprocalRank } from '@embergate/retrieval/metrics.ts';
import pc from 'picocolors';
import { table } from '../output.ts';
import type { Answers, SearchMode } from './ask.ts';
import type { EvalItem } from './corpus.ts';

/** A right answer counts when it is among this many files. */
export const CUTOFF = 10;

export interface Quality {
  /** MRR@10 and recall@10, each with its 95% bootstrap interval. */
  mrr: MeanInterval;
  recall: MeanInterval;
}

export interface Difference extends Quality {
  /** The mode that this one is taken from. */
  minus: SearchMode;
  mode: SearchMode;
}

export interface EvalReport {
  modes: Record<SearchMode, Quality>;
  /** Question by question on the same questions: paired. */
  differences: Difference[];
}

/** Each question's MRR@10 and recall@10 for one list of answers. */
export interface QuestionScores {
  mrr: number[];
  recall: number[];
}

/** Scores by file: a function that is several chunks counts once, at its best rank. */
export function scoresOf(items: readonly EvalItem[], answers: readonly SearchResult[][]): QuestionScores {
  const ranked = items.map((_, index) => answers[index]?.map(({ path }) => path) ?? []);
  return {
    mrr: items.map(({ path }, index) => reciprocalRank(ranked[index] ?? [], path, CUTOFF)),
    recall: items.map(({ path }, index) => recall(ranked[index] ?? [], path, CUTOFF)),
  };
}

/** Means and differences of all modes, with intervals of 10,000 resamples of the questions. */
export function reportOf(items: readonly EvalItem[], answers: Answers, seed: number): EvalReport {
  const scores = {
    lexical: scoresOf(items, answers.lexical),
    dense: scoresOf(items, answers.dense),
    hybrid: scoresOf(items, answers.hybrid),
  };
  const quality = ({ mrr, recall }: QuestionScores): Quality => ({
    mrr: bootstrapMean(mrr, { seed }),
    recall: bootstrapMean(recall, { seed }),
  });
  const difference = (mode: SearchMode, minus: SearchMode): Difference => {
    const less = (one: number[], other: number[]): number[] =>
      one.map((value, index) => value - (other[index] ?? 0));
    const [a, b] = [scores[mode], scores[minus]];
    return { mode, minus, ...quality({ mrr: less(a.mrr, b.mrr), recall: less(a.recall, b.recall) }) };
  };
  return {
    modes: { lexical: quality(scores.lexical), dense: quality(scores.dense), hybrid: quality(scores.hybrid) },
    differences: [difference('hybrid', 'dense'), difference('hybrid', 'lexical')],
  };
}

/** The report for people: a line a mode, a line a difference; what is beyond noise is coloured. */
export function reportTable({ modes, differences }: EvalReport): string {
  const header = ['', `MRR@${CUTOFF}`, '95%', `RECALL@${CUTOFF}`, '95%'];
  const rows = [...SEARCH_MODES].reverse().map((mode) => {
    const { mrr, recall: found } = modes[mode];
    return [mode, mrr.mean.toFixed(3), range(mrr), found.mean.toFixed(3), range(found)];
  });
  const differenceRows = differences.map(({ mode, minus, mrr, recall: found }) => [
    `${mode} - ${minus}`,
    signed(mrr.mean),
    range(mrr, signed),
    signed(found.mean),
    range(found, signed),
  ]);
  const lines = table([header, ...rows, ...differenceRows]).split('\n');
  const verdicts = differences.map(({ mrr }) => (mrr.low > 0 ? pc.green : mrr.high < 0 ? pc.red : pc.dim));
  return lines.map((line, index) => (verdicts[index - 1 - rows.length] ?? String)(line)).join('\n');
}

const signed = (value: number): string => `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(3)}`;

const range = ({ low, high }: MeanInterval, format = (value: number): string => value.toFixed(3)): string =>
  `${format(low)} to ${format(high)}`;
