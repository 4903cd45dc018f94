import type { IndexJobPayload, IndexReport } from '@embergate/contracts/index-job.ts';

/**
 * One job as the queue hands it over. The signal's reason is `cancelled`, `stopping`, or `lost` when the queue has given
 * the job to another attempt.
 */
export interface IndexTask {
  jobId: string;
  payload: IndexJobPayload;
  signal: AbortSignal;
  report: (report: IndexReport) => Promise<void>;
  /** While the job waits for what other jobs can do without, one of those has its place. */
  lendPlace: (isLent: boolean) => void;
}
