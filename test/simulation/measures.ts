import type { Policy } from './policy.ts';
import { World, type Query, type Scenario } from './world.ts';

/** What one policy did in one scenario, over all seeds. Shares are of all queries. */
export interface Measures {
  policy: string;
  queries: number;
  vectorShare: number;
  firstTierShare: number;
  lexicalShare: number;
  nothingShare: number;
  /** Of those answered with a vector, in milliseconds. */
  p50: number;
  p99: number;
  /** Of all computed queries, those that nobody waited for any more. */
  wastedShare: number;
  /** From the end of the last fault until the first tier carries queries again, in seconds, the worst of the seeds; null without a fault. */
  returnSeconds: number | null;
  /** How often the number of workers changed, and how often from up to down or back; means of the seeds. */
  steps: number;
  turns: number;
  /** Share of queries answered with a vector, every {@link BIN_SECONDS} of the run; NaN where nobody asked. */
  vectorOverTime: number[];
  /** Workers of the first tier, every ten seconds; of the first seed. */
  workersOverTime: number[];
}

export const BIN_SECONDS = 5;
/** Carries again: so many in a row of which so many are answered by the first tier. */
const CARRIES = { inARow: 10, atLeast: 9 } as const;

export function measure(scenario: Scenario, policy: Policy, seeds: readonly number[]): Measures {
  const worlds = seeds.map((seed) => new World(scenario, policy, seed).run());
  const queries = worlds.flatMap((world) => world.queries);
  const share = (is: (query: Query) => boolean): number => queries.filter(is).length / queries.length;
  const latencies = queries.flatMap(({ arrivedAt, outcome }) =>
    outcome?.kind === 'vector' ? [outcome.at - arrivedAt] : [],
  );
  const wasted = sum(worlds.map(({ computed }) => computed.forNobody));
  const returns = worlds.map(returnSeconds).filter((seconds) => seconds !== null);
  const histories = worlds.map(({ autoscaler }) => autoscaler?.history.map(({ workers }) => workers) ?? []);
  return {
    policy: policy.name,
    queries: queries.length,
    vectorShare: share(({ outcome }) => outcome?.kind === 'vector'),
    firstTierShare: share((query) => isByFirstTier(query, scenario)),
    lexicalShare: share(({ outcome }) => outcome?.kind === 'lexical'),
    nothingShare: share(({ outcome }) => outcome?.kind === 'nothing'),
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    wastedShare: wasted / Math.max(1, wasted + sum(worlds.map(({ computed }) => computed.inTime))),
    returnSeconds: returns.length > 0 ? Math.max(...returns) : null,
    steps: sum(histories.map((history) => changes(history).length)) / seeds.length,
    turns: sum(histories.map(turns)) / seeds.length,
    vectorOverTime: overTime(queries, scenario.seconds),
    workersOverTime: histories[0] ?? [],
  };
}

const isByFirstTier = ({ outcome }: Query, { tiers }: Scenario): boolean =>
  outcome?.kind === 'vector' && outcome.tier === tiers[0]?.name;

/** Infinity where it never does. */
function returnSeconds({ scenario, queries }: World): number | null {
  const ends = scenario.faults.map(({ kind, untilMs, value = 0 }) => untilMs + (kind === 'kill' ? value : 0));
  if (ends.length === 0) return null;
  const wellAt = Math.max(...ends);
  const after = queries.filter(({ arrivedAt }) => arrivedAt >= wellAt);
  const carried = after.map((query) => isByFirstTier(query, scenario));
  const at = after.findIndex((_, from) => {
    const row = carried.slice(from, from + CARRIES.inARow);
    return carried[from] === true && row.filter(Boolean).length >= CARRIES.atLeast;
  });
  const first = after[at];
  return first ? (first.arrivedAt - wellAt) / 1_000 : Infinity;
}

function overTime(queries: readonly Query[], seconds: number): number[] {
  return Array.from({ length: Math.ceil(seconds / BIN_SECONDS) }, (_, bin) => {
    const asked = queries.filter(({ arrivedAt }) => Math.floor(arrivedAt / 1_000 / BIN_SECONDS) === bin);
    return asked.filter(({ outcome }) => outcome?.kind === 'vector').length / asked.length;
  });
}

/** The steps up and down of a series. */
const changes = (series: readonly number[]): number[] =>
  series.slice(1).flatMap((value, at) => (value === series[at] ? [] : [value - (series[at] ?? 0)]));

/** How often a series turned from up to down, or from down to up. */
export function turns(series: readonly number[]): number {
  const steps = changes(series);
  return steps.slice(1).filter((step, at) => step > 0 !== (steps[at] ?? 0) > 0).length;
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((x, y) => x - y);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** How far predictions were off: |actual - predicted| / max(actual, 50 ms). */
export const predictionErrors = (
  promised: readonly { at: number; predictedMs: number; answeredAt: number | null; isFailover: boolean }[],
): number[] =>
  promised.flatMap(({ at, predictedMs, answeredAt, isFailover }) => {
    if (answeredAt === null || isFailover) return [];
    const actualMs = answeredAt - at;
    return [Math.abs(actualMs - predictedMs) / Math.max(actualMs, 50)];
  });
