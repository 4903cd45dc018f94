import { BIN_SECONDS, type Measures } from './measures.ts';
import type { Scenario } from './world.ts';

export interface Compared {
  scenario: Scenario;
  /** Ours first. */
  results: readonly Measures[];
}
/** One way to run the same scenario differently. */
export interface Variant {
  name: string;
  measures: Measures;
  medianError: number;
  p90Error: number;
}

const COLOURS = [
  ['blue', '#1f77b4'],
  ['red', '#d62728'],
  ['green', '#2ca02c'],
  ['grey', '#7f7f7f'],
] as const;
/** Smaller differences than these are no loss: points of a share, milliseconds, seconds. */
const NOTABLE = { share: 0.005, ms: 50, seconds: 0.5 } as const;

const percent = (share: number): string => `${(share * 100).toFixed(1)}%`;
const ms = (value: number): string => (Number.isNaN(value) ? '' : `${value.toFixed(0)} ms`);
const seconds = (value: number | null): string =>
  value === null ? '' : value === Infinity ? 'never' : `${value.toFixed(1)} s`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

export function comparison({ scenario, results }: Compared): string {
  const hasFaults = scenario.faults.length > 0;
  const scales = scenario.autoscale !== null;
  const head = [
    'policy',
    'vector in time',
    'by the GPU',
    'lexical, at once',
    'nothing',
    'p50',
    'p99',
    'wasted',
  ];
  const rows = results.map((one) => [
    one.policy,
    ...[one.vectorShare, one.firstTierShare, one.lexicalShare, one.nothingShare].map(percent),
    ms(one.p50),
    ms(one.p99),
    percent(one.wastedShare),
    ...(hasFaults ? [seconds(one.returnSeconds)] : []),
    ...(scales ? [one.steps.toFixed(1), one.turns.toFixed(1)] : []),
  ]);
  const more = [...(hasFaults ? ['back after'] : []), ...(scales ? ['steps', 'turns'] : [])];
  return `### ${scenario.name}\n\n${capital(scenario.story)}.\n\n${table([...head, ...more], rows)}`;
}

export const variants = (rows: readonly Variant[]): string =>
  table(
    [
      'overload, ours',
      'vector in time',
      'lexical, at once',
      'nothing',
      'p50',
      'wasted',
      'prediction error, median',
      'p90',
    ],
    rows.map(({ name, measures, medianError, p90Error }) => [
      name,
      ...[measures.vectorShare, measures.lexicalShare, measures.nothingShare].map(percent),
      ms(measures.p50),
      ...[measures.wastedShare, medianError, p90Error].map(percent),
    ]),
  );

/** Where another policy did better than ours by more than a little, in words. */
export function losses({ scenario, results: [ours, ...others] }: Compared): string[] {
  if (!ours) return [];
  return others.flatMap((other) => {
    const better = [
      ours.vectorShare < other.vectorShare - NOTABLE.share &&
        `more vectors (${percent(other.vectorShare)}, ours ${percent(ours.vectorShare)})`,
      ours.firstTierShare < other.firstTierShare - NOTABLE.share &&
        `more by the GPU (${percent(other.firstTierShare)}, ours ${percent(ours.firstTierShare)})`,
      ours.p50 > other.p50 + NOTABLE.ms && `p50 ${ms(other.p50)}, ours ${ms(ours.p50)}`,
      ours.p99 > other.p99 + NOTABLE.ms && `p99 ${ms(other.p99)}, ours ${ms(ours.p99)}`,
      ours.wastedShare > other.wastedShare + NOTABLE.share &&
        `less wasted (${percent(other.wastedShare)}, ours ${percent(ours.wastedShare)})`,
      ours.returnSeconds !== null &&
        other.returnSeconds !== null &&
        ours.returnSeconds > other.returnSeconds + NOTABLE.seconds &&
        `back after ${seconds(other.returnSeconds)}, ours ${seconds(ours.returnSeconds)}`,
    ].filter((words) => words !== false);
    return better.length > 0 ? [`- ${scenario.name}, ${other.policy}: ${better.join('; ')}.`] : [];
  });
}

/** The share of vectors over time as a Mermaid chart; one line a policy. */
export function chart({ scenario, results }: Compared): string {
  const lines = results.map(({ vectorOverTime }) => `  line [${points(vectorOverTime)}]`);
  const names = results.map(({ policy }, at) => `${COLOURS[at]?.[0]}: ${policy}`).join(', ');
  return mermaid(
    [
      `  title "${scenario.name}: answered with a vector in time"`,
      `  x-axis "seconds" 0 --> ${scenario.seconds}`,
      '  y-axis "% of the queries" 0 --> 100',
      ...lines,
    ],
    `Every ${BIN_SECONDS} s; ${names}.`,
  );
}

/** The first tier's workers over time as a Mermaid chart; one line a policy. */
export function workersChart({ scenario, results }: Compared): string {
  const lines = results.map(({ workersOverTime }) => `  line [${workersOverTime.join(', ')}]`);
  const names = results.map(({ policy }, at) => `${COLOURS[at]?.[0]}: ${policy}`).join(', ');
  return mermaid(
    [
      `  title "${scenario.name}: workers of the GPU tier, those that load included"`,
      `  x-axis "seconds" 0 --> ${scenario.seconds}`,
      `  y-axis "workers" 0 --> ${scenario.autoscale?.maxWorkers ?? 1}`,
      ...lines,
    ],
    `Every 10 s, one seed; ${names}.`,
  );
}

/** Where nobody asked, the line stays as it was. */
function points(series: readonly number[]): string {
  let last = 1;
  return series.map((share) => ((last = Number.isNaN(share) ? last : share) * 100).toFixed(0)).join(', ');
}

function mermaid(lines: readonly string[], caption: string): string {
  const plotColorPalette = COLOURS.map(([, code]) => code).join(', ');
  const theme = JSON.stringify({ themeVariables: { xyChart: { plotColorPalette } } });
  return ['```mermaid', `%%{init: ${theme}}%%`, 'xychart-beta', ...lines, '```', '', caption].join('\n');
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
