import type { IndexJobPayload, IndexProgress, SkippedFile } from '@embergate/contracts/index-job.ts';

/** How far a job is, as its gateway shows it. */
export interface IndexReport {
  state: 'running' | 'publishing' | 'completed' | 'cancelled';
  progress: IndexProgress;
  skippedFiles: SkippedFile[];
  commit: string | null;
}

/**
 * One job as the queue hands it over. The signal's reason is `cancelled`, `stopping`, or `lost` when the queue has given
 * the job to another attempt.
 */
export interface IndexTask {
  jobId: string;
  payload: IndexJobPayload;
  signal: AbortSignal;
  report: (report: IndexReport) => Promise<void>;
}
