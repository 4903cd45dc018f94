/** From the injection of a fault to that of the next one; or the calm before the first. */
export interface Phase {
  kind: string;
  onlyGpuTier: boolean;
  /** performance.now() at the injection. */
  startedAt: number;
  /** performance.now() at the fault's end; null while it lasts. */
  endedAt: number | null;
}

export const calmPhase = (): Phase => ({
  kind: 'calm',
  onlyGpuTier: false,
  startedAt: performance.now(),
  endedAt: null,
});

/**
 * What a caller got. `answered`: 200. `refused`: a problem document with a code of ours. `untyped`: any other answer.
 * `none`: no answer until long after the deadline.
 */
export type Outcome = 'answered' | 'refused' | 'untyped' | 'none';

/** One query, as its caller saw it. Times are performance.now() of the load generator. */
export interface QueryRecord {
  route: 'search' | 'embeddings';
  text: string;
  /** Never asked before: no cache has its vector. */
  isNew: boolean;
  deadlineMs: number;
  phase: Phase;
  dueAt: number;
  sentAt: number;
  doneAt: number;
  outcome: Outcome;
  status: number | null;
  /** The problem's code, or what the answer was instead. */
  code: string | null;
  /** As the headers say: gpu, cpu, none. */
  tier: string | null;
  degradedReason: string | null;
  /** Codes of the answer's warnings. */
  warnings: string[];
  /** Times that it was sent again to the other gateway. */
  moved: number;
  vector: Float32Array | null;
}

/** Without an answer by a model; full text alone is one only where no tier could have answered. */
export const isFailed = ({ outcome, tier, phase }: QueryRecord): boolean =>
  outcome !== 'answered' || (phase.onlyGpuTier && tier === 'none');
/** Beyond the deadline, from when it was sent: negative when in time. */
export const lateMs = ({ doneAt, sentAt, deadlineMs }: QueryRecord): number => doneAt - sentAt - deadlineMs;
/** Beyond the deadline, from when it was due: holds the load generator's own delay too. */
export const lateSinceDueMs = ({ doneAt, dueAt, deadlineMs }: QueryRecord): number =>
  doneAt - dueAt - deadlineMs;
