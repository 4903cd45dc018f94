import { bootstrapMean, type MeanInterval } from '@embergate/retrieval/bootstrap.ts';
import { judge } from '@embergate/retrieval/judge.ts';
import { ndcg, recall, reciprocalRank } from '@embergate/retrieval/metrics.ts';
import pc from 'picocolors';
import { table } from '../output.ts';
import type { Answers } from './ask.ts';
import type { Configuration } from './configuration.ts';
import type { Question } from './question.ts';

/** Measures of order look at so many results. */
export const CUTOFF = 10;

/** Means over the questions, each with its 95% bootstrap interval. */
export interface Quality {
  mrr: MeanInterval;
  ndcg: MeanInterval;
  recall: MeanInterval;
}

export interface Measured extends Quality, Configuration {
  /** What a reader gets to read: lines of the first ten results, on average. Longer results find more by being longer. */
  lines: number;
}

/** One configuration less another, question by question on the same questions: paired. */
export interface Difference extends Quality {
  name: string;
  minus: string;
}

export interface EvalReport {
  /** recall is of so many results; MRR and nDCG are of ten. */
  recallAt: number;
  configurations: Measured[];
  /** The first configuration less each of the others. */
  differences: Difference[];
}

type Measure = keyof Quality;
const MEASURES: readonly Measure[] = ['mrr', 'ndcg', 'recall'];

/** Each question's measures for one list of answers. */
export type QuestionScores = Record<Measure, number[]>;

export function scoresOf(
  questions: readonly Question[],
  answers: Answers,
  recallAt: number = CUTOFF,
): QuestionScores {
  const judged = questions.map(({ relevant }, index) => judge(answers[index] ?? [], relevant));
  return {
    mrr: judged.map((answer) => reciprocalRank(answer, CUTOFF)),
    ndcg: judged.map((answer) => ndcg(answer, CUTOFF)),
    recall: judged.map((answer) => recall(answer, recallAt)),
  };
}

/** Each question with its scores, in the order of the configurations: to find what goes wrong, or to compare two runs. */
export function detailsOf(questions: readonly Question[], answers: readonly Answers[], recallAt: number) {
  const scores = answers.map((list) => scoresOf(questions, list, recallAt));
  return questions.map((question, index) => ({
    ...question,
    scores: scores.map(({ mrr, ndcg, recall: found }) => ({
      mrr: mrr[index],
      ndcg: ndcg[index],
      recall: found[index],
    })),
  }));
}

interface ReportOptions {
  configurations: readonly Configuration[];
  seed: number;
  recallAt: number;
}

/** Means of all configurations, and how the first differs from the others, with intervals of 10,000 resamples of the questions. */
export function reportOf(
  questions: readonly Question[],
  answers: readonly Answers[],
  { configurations, seed, recallAt }: ReportOptions,
): EvalReport {
  const scores = answers.map((list) => scoresOf(questions, list, recallAt));
  const quality = (of: (measure: Measure) => number[]): Quality => ({
    mrr: bootstrapMean(of('mrr'), { seed }),
    ndcg: bootstrapMean(of('ndcg'), { seed }),
    recall: bootstrapMean(of('recall'), { seed }),
  });
  const [base, ...others] = configurations.map((configuration, index) => ({
    configuration,
    lines: linesShown(answers[index] ?? []),
    scores: scores[index] ?? { mrr: [], ndcg: [], recall: [] },
  }));
  const measured = [base, ...others].flatMap((one) =>
    one ? [{ ...one.configuration, ...quality((measure) => one.scores[measure]), lines: one.lines }] : [],
  );
  const differences = others.map((other) => ({
    name: base?.configuration.name ?? '',
    minus: other.configuration.name,
    ...quality((measure) =>
      (base?.scores[measure] ?? []).map((value, index) => value - (other.scores[measure][index] ?? 0)),
    ),
  }));
  return { recallAt, configurations: measured, differences };
}

const linesShown = (answers: Answers): number =>
  answers
    .flatMap((results) => results.slice(0, CUTOFF))
    .reduce((sum, { startLine, endLine }) => sum + endLine - startLine + 1, 0) / answers.length;

/** The report for people: a line a configuration, a line a difference; what is beyond noise is coloured. */
export function reportTable({ recallAt, configurations, differences }: EvalReport): string {
  const titles = [`MRR@${CUTOFF}`, `nDCG@${CUTOFF}`, `RECALL@${recallAt}`];
  const header = ['', ...titles.flatMap((title) => [title, '95%']), 'LINES'];
  const rows = configurations.map((one) => [
    one.name,
    ...MEASURES.flatMap((measure) => [one[measure].mean.toFixed(3), range(one[measure])]),
    one.lines.toFixed(0),
  ]);
  const differenceRows = differences.map((one) => [
    `${one.name} - ${one.minus}`,
    ...MEASURES.flatMap((measure) => [signed(one[measure].mean), range(one[measure], signed)]),
  ]);
  const lines = table([header, ...rows, ...differenceRows]).split('\n');
  const verdicts = differences.map(({ ndcg: { low, high } }) =>
    low > 0 ? pc.green : high < 0 ? pc.red : pc.dim,
  );
  return lines.map((line, index) => (verdicts[index - 1 - rows.length] ?? String)(line)).join('\n');
}

const signed = (value: number): string => `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(3)}`;

const range = ({ low, high }: MeanInterval, format = (value: number): string => value.toFixed(3)): string =>
  `${format(low)} to ${format(high)}`;
