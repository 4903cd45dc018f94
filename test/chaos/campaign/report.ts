import { brokenBounds } from './bounds.ts';
import type { FaultRun, Findings } from './campaign.ts';
import { isFailed, lateMs, lateSinceDueMs, type QueryRecord } from './query-record.ts';

/** One line of the table: a kind of fault, from its injection to that of the next one. */
export interface KindReport {
  kind: string;
  rounds: number;
  queries: number;
  answered: number;
  /** Answered by tier; `none` is lexical only. */
  byTier: Record<string, number>;
  byReason: Record<string, number>;
  /** Typed errors by code. */
  refused: Record<string, number>;
  /** No answer, or one that is none of ours. */
  noTypedAnswer: number;
  late100: number;
  late500: number;
  /** The same, from when the query was due and not from when it was sent. */
  late100SinceDue: number;
  worstLateMs: number;
  /** Sent again to the other gateway. */
  moved: number;
  /** Only where nothing but the gpu tier was hit; must be 0. */
  failedOnGpuOnly: number | null;
  wrongVectors: number;
  recoverySeconds: { min: number; median: number; max: number; never: number } | null;
  gatewayLagMs: { p99: number; max: number } | null;
}

export interface CampaignReport {
  seed: number;
  seconds: number;
  kinds: KindReport[];
  total: KindReport;
  warnings: Record<string, number>;
  generatorDelayMs: { p99: number; max: number };
  generatorLagMs: { p99: number; max: number };
  gatewaysMarkedDown: number;
  indexJobs: Record<string, number>;
  stored: Findings['stored'];
  vectorsChecked: number;
  left: string[];
  orphans: string[];
  /** Queries that were late, failed or wrong, for whoever looks for the cause; the first fifty. */
  offending: Record<string, unknown>[];
  broken: string[];
}

export function reportOf(findings: Findings): CampaignReport {
  const { records, faults, jobs, vectors, orphans } = findings;
  const kinds = ['calm', ...new Set(faults.map(({ phase }) => phase.kind))].toSorted();
  const of = (kind: string): KindReport =>
    kindReport(kind, {
      records: records.filter(({ phase }) => phase.kind === kind),
      faults: faults.filter(({ phase }) => phase.kind === kind),
      wrong: vectors.wrong,
    });
  return {
    seed: findings.seed,
    seconds: findings.seconds,
    kinds: kinds.map(of),
    total: kindReport('all', { records, faults, wrong: vectors.wrong }),
    warnings: countBy(records.flatMap(({ warnings }) => warnings)),
    generatorDelayMs: spread(records.map(({ sentAt, dueAt }) => sentAt - dueAt)),
    generatorLagMs: findings.generatorLagMs,
    gatewaysMarkedDown: findings.markedDown,
    indexJobs: countBy(jobs.map(({ state }) => state)),
    stored: findings.stored,
    vectorsChecked: vectors.checked,
    left: findings.left,
    orphans: orphans.map(({ pid, command }) => `${pid} ${command}`),
    offending: offending(findings).slice(0, 50),
    broken: brokenBounds(findings),
  };
}

interface OfKind {
  records: QueryRecord[];
  faults: FaultRun[];
  wrong: QueryRecord[];
}

function kindReport(kind: string, { records, faults, wrong }: OfKind): KindReport {
  const answered = records.filter(({ outcome }) => outcome === 'answered');
  const onGpuOnly = records.filter(({ phase }) => phase.onlyGpuTier);
  const recoveries = faults.map(({ recoveryMs }) => recoveryMs).filter((ms) => ms !== null);
  const lags = faults.map(({ lag }) => lag).filter((lag) => lag !== null);
  const count = (test: (record: QueryRecord) => boolean): number => records.filter(test).length;
  return {
    kind,
    rounds: faults.length,
    queries: records.length,
    answered: answered.length,
    byTier: countBy(answered.map(({ tier }) => tier ?? 'unnamed')),
    byReason: countBy(answered.flatMap(({ degradedReason }) => degradedReason ?? [])),
    refused: countBy(records.filter(({ outcome }) => outcome === 'refused').map(({ code }) => code ?? '')),
    noTypedAnswer: count(({ outcome }) => outcome === 'untyped' || outcome === 'none'),
    late100: count((record) => lateMs(record) > 100),
    late500: count((record) => lateMs(record) > 500),
    late100SinceDue: count((record) => lateSinceDueMs(record) > 100),
    worstLateMs: Math.max(...records.map(lateMs)),
    moved: count(({ moved }) => moved > 0),
    failedOnGpuOnly: onGpuOnly.length > 0 ? onGpuOnly.filter(isFailed).length : null,
    wrongVectors: records.filter((record) => wrong.includes(record)).length,
    recoverySeconds: faults.length > 0 ? recoverySeconds(recoveries, faults.length) : null,
    gatewayLagMs:
      lags.length > 0
        ? {
            p99: Math.max(...lags.map(({ p99Ms }) => p99Ms)),
            max: Math.max(...lags.map(({ maxMs }) => maxMs)),
          }
        : null,
  };
}

function recoverySeconds(ms: readonly number[], rounds: number): NonNullable<KindReport['recoverySeconds']> {
  const sorted = ms.map((value) => value / 1_000).sort((a, b) => a - b);
  return {
    min: sorted[0] ?? NaN,
    median: sorted[Math.floor(sorted.length / 2)] ?? NaN,
    max: sorted.at(-1) ?? NaN,
    never: rounds - ms.length,
  };
}

function offending({ records, vectors }: Findings): Record<string, unknown>[] {
  const isBad = (record: QueryRecord): boolean =>
    lateMs(record) > 100 ||
    ['untyped', 'none'].includes(record.outcome) ||
    (record.phase.onlyGpuTier && isFailed(record)) ||
    vectors.wrong.includes(record);
  return records.filter(isBad).map((record) => ({
    kind: record.phase.kind,
    route: record.route,
    outcome: record.outcome,
    code: record.code,
    tier: record.tier,
    reason: record.degradedReason,
    moved: record.moved,
    tookMs: Math.round(record.doneAt - record.sentAt),
    sentMsAfterFault: Math.round(record.sentAt - record.phase.startedAt),
    faultLastedMs: record.phase.endedAt && Math.round(record.phase.endedAt - record.phase.startedAt),
    wrongVector: vectors.wrong.includes(record),
  }));
}

function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function spread(values: readonly number[]): { p99: number; max: number } {
  const sorted = values.toSorted((a, b) => a - b);
  return { p99: sorted[Math.floor(0.99 * sorted.length)] ?? NaN, max: sorted.at(-1) ?? NaN };
}
