import type { CampaignReport, KindReport } from './report.ts';

const COLUMNS: readonly (readonly [title: string, cell: (kind: KindReport) => string])[] = [
  ['fault', ({ kind }) => kind],
  ['rounds', ({ rounds }) => String(rounds)],
  ['queries', ({ queries }) => String(queries)],
  ['answered', ({ answered }) => String(answered)],
  ['by tier', ({ byTier }) => counts(byTier)],
  ['typed errors', ({ refused }) => counts(refused)],
  ['no typed answer', ({ noTypedAnswer }) => String(noTypedAnswer)],
  ['late >100 ms', ({ late100, late100SinceDue }) => `${late100} (due: ${late100SinceDue})`],
  ['late >500 ms', ({ late500 }) => String(late500)],
  ['failed, gpu only', ({ failedOnGpuOnly }) => (failedOnGpuOnly === null ? '-' : String(failedOnGpuOnly))],
  ['moved', ({ moved }) => String(moved)],
  ['wrong vectors', ({ wrongVectors }) => String(wrongVectors)],
  ['gpu back, s', ({ recoverySeconds }) => recovery(recoverySeconds)],
  ['gateway lag max, ms', ({ gatewayLagMs }) => (gatewayLagMs ? gatewayLagMs.max.toFixed(0) : '-')],
];

/** The report for people. */
export function reportText(report: CampaignReport): string {
  const { stored, generatorDelayMs, generatorLagMs } = report;
  const rows = [...report.kinds, report.total];
  const ms = ({ p99, max }: { p99: number; max: number }): string =>
    `p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms`;
  return [
    `seed ${report.seed}, ${report.seconds.toFixed(0)} s; a fault counts from its injection to that of the next one`,
    '',
    ...table([COLUMNS.map(([title]) => title), ...rows.map((row) => COLUMNS.map(([, cell]) => cell(row)))]),
    '',
    `degraded: ${counts(report.total.byReason) || 'none'}; warnings: ${counts(report.warnings) || 'none'}`,
    `load generator's delay: ${ms(generatorDelayMs)}; its event loop: ${ms(generatorLagMs)}`,
    `gateways marked down by the health check: ${report.gatewaysMarkedDown}`,
    `vectors compared with direct inference: ${report.vectorsChecked}, wrong: ${report.total.wrongVectors}`,
    `index jobs: ${counts(report.indexJobs)}; chunks: ${stored.expected} expected, ${stored.lost} lost, ${stored.twice} twice, ` +
      `${stored.surplus} surplus, ${stored.wrongVectors} wrong vectors`,
    `left in lanes: ${report.left.join('; ') || 'nothing'}; orphans: ${report.orphans.join('; ') || 'none'}`,
    ...report.offending.map((query) => `  ${JSON.stringify(query)}`),
    '',
    ...(report.broken.length === 0
      ? ['Every bound holds.']
      : ['BROKEN:', ...report.broken.map((bound) => `- ${bound}`)]),
  ].join('\n');
}

const counts = (byName: Record<string, number>): string =>
  Object.entries(byName)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');

function recovery(seconds: KindReport['recoverySeconds']): string {
  if (!seconds) return '-';
  const { min, median, max, never } = seconds;
  const range = [min, median, max].map((value) => value.toFixed(1)).join(' / ');
  return never > 0 ? `${range} (never: ${never})` : range;
}

function table(rows: string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
