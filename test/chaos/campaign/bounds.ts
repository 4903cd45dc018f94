import type { Findings } from './campaign.ts';
import { isFailed, lateMs } from './query-record.ts';

const IN_TIME_SHARE = 0.999;
const LATE_MS = 100;
const NEVER_LATER_MS = 500;
/** The words of the contract, for a first tier `gpu`. */
const REASON = /^(gpu_(saturated|down|starting|absent|misaligned)|queue_down)$/;
/** "A tier takes queries again within 10 s after its workers are well". */
const RECOVERY_MS = 10_000;

/** What must hold, and how the findings break it; empty: all holds. */
export function brokenBounds(findings: Findings): string[] {
  return [...queryBounds(findings), ...recoveryBounds(findings), ...stateBounds(findings)];
}

function queryBounds({ records, vectors }: Findings): string[] {
  const typedInTime = records.filter(
    (record) => ['answered', 'refused'].includes(record.outcome) && lateMs(record) <= LATE_MS,
  );
  const share = typedInTime.length / records.length;
  const tooLate = records.filter((record) => !(lateMs(record) <= NEVER_LATER_MS));
  const untyped = records.filter(({ outcome }) => outcome === 'untyped' || outcome === 'none');
  const strange = records.filter(
    ({ degradedReason }) => degradedReason !== null && !REASON.test(degradedReason),
  );
  const failedOnGpu = records.filter((record) => record.phase.onlyGpuTier && isFailed(record));
  return [
    ...(share >= IN_TIME_SHARE
      ? []
      : [
          `${(share * 100).toFixed(2)}% of ${records.length} queries had an answer or a typed error by deadline + ${LATE_MS} ms; 99.9% must`,
        ]),
    ...counted(tooLate.length, `queries had neither by deadline + ${NEVER_LATER_MS} ms; all must`),
    ...counted(untyped.length, 'queries got no answer, or one that is none of ours'),
    ...counted(
      strange.length,
      `answers give a reason that the contract does not have (${strange[0]?.degradedReason})`,
    ),
    ...counted(failedOnGpu.length, 'queries failed while only the gpu tier was hit; none may'),
    ...counted(vectors.wrong.length, `of ${vectors.checked} vectors are wrong`),
  ];
}

function recoveryBounds({ faults }: Findings): string[] {
  const slow = faults.filter(
    ({ phase, recoveryOfReadyMs: ms }) => phase.onlyGpuTier && !(ms !== null && ms <= RECOVERY_MS),
  );
  const notWell = faults.filter(({ wellMs }) => wellMs === null);
  const kinds = (runs: Findings['faults']): string =>
    [...new Set(runs.map(({ phase }) => phase.kind))].join(', ');
  return [
    ...counted(
      slow.length,
      `times the gpu tier carried no query within 10 s of its worker's being ready (${kinds(slow)})`,
    ),
    ...counted(notWell.length, `times the cluster did not get well again (${kinds(notWell)})`),
  ];
}

function stateBounds({ jobs, stored, left, orphans }: Findings): string[] {
  const notCompleted = jobs.filter(({ state }) => state !== 'completed');
  const why = notCompleted.map(({ id, state, error }) => `${id} ${state} ${error?.code ?? ''}`).join(', ');
  return [
    ...counted(notCompleted.length, `index jobs did not complete: ${why}`),
    ...counted(stored.lost, `of ${stored.expected} chunks are lost`),
    ...counted(stored.twice, 'chunks are stored twice'),
    ...counted(stored.surplus, 'chunks are stored that the source does not have'),
    ...counted(stored.wrongVectors, 'stored vectors are wrong'),
    ...left.map((what) => `the backlog is not zero: ${what}`),
    ...orphans.map(({ pid, command }) => `an orphan was left: ${pid} ${command}`),
  ];
}

const counted = (count: number, what: string): string[] => (count === 0 ? [] : [`${count} ${what}`]);
