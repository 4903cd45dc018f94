import type { EmbergateClient } from '@embergate/client/client.ts';
import { AppError, ERROR_KINDS, toAppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import type { IndexJob } from '@embergate/contracts/index-job.ts';
import type { CliContext } from './context.ts';
import { print, printJson } from './output.ts';
import { estimateText, indexProgressView, jobSummary } from './progress.ts';
import { setTimeout as wait } from 'node:timers/promises';

const NAMED_SKIPS = 5;
const MAX_RECONNECTS = 10;
const RECONNECT_DELAY_MS = 1_000;

export interface FollowOptions {
  context: CliContext;
  json: boolean;
  /** What Ctrl-C means for the job; by default it goes on. */
  onInterrupt?: string;
}

/** Follows a job that was just made, or, where nobody waits for it, says how to. @throws what {@link followJob} throws. */
export async function followOrTell(
  client: EmbergateClient,
  job: IndexJob,
  { context, json = false, detach = false }: { context: CliContext; json?: boolean; detach?: boolean },
): Promise<void> {
  if (!detach) await followJob(client, job.id, { context, json });
  else if (json) printJson(job);
  else print(`${job.id} is ${job.state}; \`embergate jobs watch ${job.id}\` follows it.`);
}

/**
 * Shows a job's progress until it ends. Ctrl-C leaves the job running and says so.
 * @throws AppError with the job's own code when it failed.
 */
export async function followJob(
  client: EmbergateClient,
  id: string,
  { context, json, onInterrupt }: FollowOptions,
): Promise<IndexJob> {
  const view = indexProgressView();
  let job: IndexJob | undefined;
  let isEstimateTold = false;
  try {
    for await (job of watchPatiently(client, id, context.signal)) {
      if (json) continue;
      if (job.estimate && !job.estimateOnly && !isEstimateTold) {
        view.note(estimateText(job.estimate));
        isEstimateTold = true;
      }
      view.show(job);
    }
  } catch (error) {
    view.end();
    if (context.signal.aborted)
      process.stderr.write(
        `\n${onInterrupt ?? `Job ${id} goes on; \`embergate jobs cancel ${id}\` ends it.`}\n`,
      );
    throw error;
  }
  view.end();
  if (!job) throw new AppError('gateway_unreachable', `The gateway told nothing about job ${id}.`);
  if (job.error) {
    const code = job.error.code in ERROR_KINDS ? (job.error.code as ErrorCode) : 'index_failed';
    throw new AppError(code, job.error.message);
  }
  if (json) printJson(job);
  else showJob(job);
  return job;
}

/** The gateway may be started again while the job goes on: a broken connection is tried anew for a while. */
async function* watchPatiently(
  client: EmbergateClient,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<IndexJob> {
  for (let failures = 0; ; failures++) {
    try {
      for await (const job of client.watchIndexJob(id, signal)) {
        failures = 0;
        yield job;
      }
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (toAppError(error).code !== 'gateway_unreachable' || failures === MAX_RECONNECTS) throw error;
      await wait(RECONNECT_DELAY_MS, undefined, { signal });
    }
  }
}

function showJob(job: IndexJob): void {
  if (job.estimateOnly) {
    if (job.estimate) print(estimateText(job.estimate));
    return;
  }
  print(jobSummary(job));
  for (const { code, message } of job.warnings) print(`  ${code}: ${message}`);
  for (const { path, reason } of job.skippedFiles.slice(0, NAMED_SKIPS))
    print(`  skipped ${path} (${reason})`);
  const more = job.progress.skipped - Math.min(NAMED_SKIPS, job.skippedFiles.length);
  if (more > 0) print(`  ... and ${more} more; \`embergate jobs list --json\` names the first hundred`);
}
