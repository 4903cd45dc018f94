import type { IndexEstimate, IndexJob } from '@embergate/contracts/index-job.ts';
import cliProgress from 'cli-progress';
import { clearLine, cursorTo } from 'node:readline';

const LINE_INTERVAL_MS = 5_000;
/** What cli-progress sets when a bar begins. */
const [WRAP, NO_WRAP, SAVE_CURSOR] = ['\x1b[?7h', '\x1b[?7l', '\x1b7'];

export interface ProgressView {
  show: (job: IndexJob) => void;
  /** A line of its own. */
  note: (line: string) => void;
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
        '{subject} [{bar}] {percentage}% | {done}/{total} chunks, {files} files | {rate} tokens/s | {left}',
      barCompleteChar: '█',
      barIncompleteChar: '░',
      hideCursor: true,
      clearOnComplete: false,
      stopOnComplete: false,
      // Also when nothing has changed: a line may have taken its place.
      forceRedraw: true,
    },
    cliProgress.Presets.shades_classic,
  );
  let started = false;
  return {
    show: (job) => {
      const { progress } = job;
      const done = progress.embedded + progress.reused;
      const payload = {
        subject: subjectOf(job),
        done,
        files: progress.files,
        rate: progress.tokensPerSecond,
        left: stepOf(job),
      };
      const total = Math.max(progress.total ?? 0, done, 1);
      if (!started) bar.start(total, done, payload);
      started = true;
      bar.setTotal(total);
      bar.update(done, payload);
    },
    note: (line) => {
      if (!started) return void stream.write(`${line}\n`);
      // In the bar's place, which is drawn anew below it, and whose end returns to where the cursor was when it began.
      clearLine(stream, 0);
      cursorTo(stream, 0);
      stream.write(`${WRAP}${line}\n${NO_WRAP}${SAVE_CURSOR}`);
    },
    end: () => {
      if (started) bar.stop();
    },
  };
}

function lineView(stream: NodeJS.WriteStream): ProgressView {
  let last = -Infinity;
  let wasSearchable = false;
  return {
    show: (job) => {
      const { state, progress } = job;
      const now = performance.now();
      const isNews = progress.textSearchable && !wasSearchable;
      if (!isNews && now - last < LINE_INTERVAL_MS) return;
      last = now;
      wasSearchable = progress.textSearchable;
      const done = progress.embedded + progress.reused;
      stream.write(
        `${subjectOf(job)}: ${state}, ${done}/${progress.total ?? '?'} chunks, ${progress.files} files, ${progress.tokensPerSecond} tokens/s, ${stepOf(job)}\n`,
      );
    },
    note: (line) => void stream.write(`${line}\n`),
    end: () => undefined,
  };
}

function stepOf({ state, waitingFor, progress }: IndexJob): string {
  if (state === 'publishing') return 'publishing';
  if (waitingFor !== null) return `waits for ${waitingFor}`;
  const left = timeLeft(progress.etaSeconds);
  return progress.textSearchable ? `full text can be searched, vectors follow: ${left}` : left;
}

function timeLeft(seconds: number | null): string {
  if (seconds === null) return 'time left unknown';
  const minutes = Math.floor(seconds / 60);
  return minutes > 0 ? `${minutes} min ${seconds % 60} s left` : `${seconds} s left`;
}

/** A move is of no repository, but of all that the collection holds. */
const subjectOf = ({ repo, source }: IndexJob): string =>
  source.type === 'collection' ? 'everything' : repo;

/** One line that says what an ended job did. */
export function jobSummary(job: IndexJob): string {
  const { collection, state, progress, startedAt, finishedAt } = job;
  const seconds = startedAt && finishedAt ? (Date.parse(finishedAt) - Date.parse(startedAt)) / 1_000 : 0;
  const skipped = progress.skipped > 0 ? `, ${progress.skipped} skipped` : '';
  return (
    `${subjectOf(job)} in ${collection}: ${state} in ${seconds.toFixed(1)} s. ${progress.files} files${skipped}, ` +
    `${progress.chunks} chunks: ${progress.embedded} embedded, ${progress.reused} reused, ${progress.removed} removed; ` +
    `${progress.tokensPerSecond} tokens/s`
  );
}

/** What a job was expected to take, in one line. */
export function estimateText(estimate: IndexEstimate): string {
  const { files, sampledFiles, chunks, reused, embedded, tokens, seconds, tier, basis } = estimate;
  const from = sampledFiles < files ? `, reckoned from ${sampledFiles}` : '';
  return (
    `expected: ${files} files${from}, ${chunks} chunks: ${reused} reused, ${embedded} to embed, ${tokens} tokens; ` +
    `time ${took(seconds)} (${basis})${tier === 'gpu' ? '' : `; on a GPU ${gpuText(estimate)}`}`
  );
}

const took = (seconds: number | null): string =>
  seconds === null ? 'unknown' : seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;

function gpuText({ gpuSeconds, gpuPeakSeconds }: IndexEstimate): string {
  if (gpuSeconds !== null) return took(gpuSeconds);
  const peak =
    gpuPeakSeconds === null ? '' : `, and one NVIDIA T4 would take ${took(gpuPeakSeconds)} at its peak rate`;
  return `unknown: none has been measured${peak}`;
}
