import type { IndexEstimate, IndexJob } from '@embergate/contracts/index-job.ts';
import cliProgress from 'cli-progress';

const LINE_INTERVAL_MS = 5_000;

export interface ProgressView {
  show: (job: IndexJob) => void;
  end: () => void;
}

/** A bar on a terminal; elsewhere a line now and then, so that a log stays readable. Both on stderr. */
export function indexProgressView(stream: NodeJS.WriteStream = process.stderr): ProgressView {
  return stream.isTTY ? barView(stream) : lineView(stream);
}

function barView(stream: NodeJS.WriteStream): ProgressView {
  const bar = new cliProgress.SingleBar(
    {
      stream,
      format:
        '{repo} [{bar}] {percentage}% | {done}/{total} chunks, {files} files | {rate} tokens/s | {left}',
      barCompleteChar: '█',
      barIncompleteChar: '░',
      hideCursor: true,
      clearOnComplete: false,
      stopOnComplete: false,
    },
    cliProgress.Presets.shades_classic,
  );
  let started = false;
  return {
    show: (job) => {
      const { progress } = job;
      const done = progress.embedded + progress.reused;
      const payload = {
        repo: job.repo,
        done,
        files: progress.files,
        rate: progress.tokensPerSecond,
        left: job.state === 'publishing' ? 'publishing' : timeLeft(progress.etaSeconds),
      };
      const total = Math.max(progress.total ?? 0, done, 1);
      if (!started) bar.start(total, done, payload);
      started = true;
      bar.setTotal(total);
      bar.update(done, payload);
    },
    end: () => {
      if (started) bar.stop();
    },
  };
}

function lineView(stream: NodeJS.WriteStream): ProgressView {
  let last = -Infinity;
  return {
    show: ({ repo, state, progress }) => {
      const now = performance.now();
      if (now - last < LINE_INTERVAL_MS) return;
      last = now;
      const done = progress.embedded + progress.reused;
      stream.write(
        `${repo}: ${state}, ${done}/${progress.total ?? '?'} chunks, ${progress.files} files, ${progress.tokensPerSecond} tokens/s, ${timeLeft(progress.etaSeconds)}\n`,
      );
    },
    end: () => undefined,
  };
}

function timeLeft(seconds: number | null): string {
  if (seconds === null) return 'time left unknown';
  const minutes = Math.floor(seconds / 60);
  return minutes > 0 ? `${minutes} min ${seconds % 60} s left` : `${seconds} s left`;
}

/** One line that says what an ended job did. */
export function jobSummary({ repo, collection, state, progress, startedAt, finishedAt }: IndexJob): string {
  const seconds = startedAt && finishedAt ? (Date.parse(finishedAt) - Date.parse(startedAt)) / 1_000 : 0;
  const skipped = progress.skipped > 0 ? `, ${progress.skipped} skipped` : '';
  return (
    `${repo} in ${collection}: ${state} in ${seconds.toFixed(1)} s. ${progress.files} files${skipped}, ` +
    `${progress.chunks} chunks: ${progress.embedded} embedded, ${progress.reused} reused, ${progress.removed} removed; ` +
    `${progress.tokensPerSecond} tokens/s`
  );
}

/** What a job was expected to take, in one line. */
export function estimateText(estimate: IndexEstimate): string {
  const { files, sampledFiles, chunks, reused, embedded, tokens, seconds, tier, basis, gpuSeconds } =
    estimate;
  const from = sampledFiles < files ? `, reckoned from ${sampledFiles}` : '';
  const took = (time: number | null): string =>
    time === null ? 'unknown' : time < 120 ? `${time} s` : `${Math.round(time / 60)} min`;
  const gpu =
    tier === 'gpu'
      ? ''
      : `; on a GPU ${gpuSeconds === null ? 'unknown: none has been measured' : took(gpuSeconds)}`;
  return (
    `expected: ${files} files${from}, ${chunks} chunks: ${reused} reused, ${embedded} to embed, ${tokens} tokens; ` +
    `time ${took(seconds)} (${basis})${gpu}`
  );
}
