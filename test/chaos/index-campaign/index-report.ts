import type { DisturbedRun } from './disturbed-run.ts';
import type { IndexFindings } from './index-campaign.ts';

/** What must hold, and how the findings break it; empty: all holds. */
export function brokenIndexBounds({ runs, searches, orphans }: IndexFindings): string[] {
  return [
    ...runs.flatMap(brokenRun),
    ...searches.wrong.map((what) => `a search saw what it must not: ${what}`),
    ...searches.failed.map((what) => `a search failed: ${what}`),
    ...orphans.map((what) => `left behind: ${what}`),
  ];
}

function brokenRun(run: DisturbedRun): string[] {
  const { missing, surplus, twice, changed, wrongVectors } = run.rows;
  const wrong = { missing, surplus, twice, changed, wrongVectors };
  const rows = Object.entries(wrong).flatMap(([what, count]) => (count > 0 ? [`${count} rows ${what}`] : []));
  const state = run.state === 'completed' ? [] : [`it is ${run.state}: ${run.error?.message ?? ''}`];
  const pending = run.leftPending > 0 ? [`${run.leftPending} runs are left pending`] : [];
  return [...state, ...rows, ...run.embeddedTwice, ...pending].map((what) => `run "${run.name}": ${what}`);
}

/** The findings for people. */
export function indexReportText(findings: IndexFindings): string {
  const { seed, seconds, undisturbedSeconds, runs, searches } = findings;
  const struck = runs.flatMap((run) => run.struck);
  const kinds = [...new Set(struck.map(({ kind }) => kind))].sort();
  const killed = kinds.map((kind) => {
    const own = struck.filter((one) => one.kind === kind);
    const publishing = own.filter(({ state }) => state === 'publishing').length;
    return `${kind} ${own.length} (${publishing} while publishing)`;
  });
  const sum = (of: (run: DisturbedRun) => number): number => runs.reduce((total, run) => total + of(run), 0);
  const broken = brokenIndexBounds(findings);
  return [
    `seed ${seed}, ${seconds.toFixed(0)} s; ${runs.length} index runs, undisturbed the first takes ${undisturbedSeconds.toFixed(1)} s`,
    `killed: ${killed.join(', ')}`,
    `rows compared: ${sum(({ rows }) => rows.rows)}`,
    `texts: ${sum(({ needed }) => needed)} needed, ${sum(({ embedded }) => embedded)} embedded; ` +
      `${(sum(({ embedded, needed }) => embedded - needed) / Math.max(1, struck.length)).toFixed(0)} more a kill`,
    `searches: ${searches.answered} answered, ${searches.unreachable} while no gateway was there, ${searches.storeAway} while no store was, ${searches.failed.length} failed, ` +
      `${searches.wrong.length} that saw what they must not`,
    ...(broken.length === 0 ? ['all bounds hold'] : ['BROKEN', ...broken.map((what) => `  ${what}`)]),
  ].join('\n');
}
