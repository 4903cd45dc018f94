import { emptyProgress, type IndexProgress, type SkippedFile } from '@embergate/contracts/index-job.ts';
import type { ChunkPage } from './chunk-source.ts';

export type ProgressListener = (
  progress: IndexProgress,
  skipped: readonly SkippedFile[],
  state: 'running' | 'publishing',
) => void;

/** The first ones are named in the job, all are counted. */
const NAMED_SKIPS = 100;
const NOTIFY_INTERVAL_MS = 250;

/** Counts what a run has done, and tells it at most four times a second. */
export class RunProgress {
  readonly #listener: ProgressListener;
  readonly #progress = emptyProgress();
  readonly #skipped: SkippedFile[] = [];
  readonly #startedAt = performance.now();
  /** What an earlier reading of the same source found. */
  #before: IndexProgress | null = null;
  #reusedAhead = 0;
  #expectedBytes = 0;
  #expectedChunks: number | null = null;
  #readBytes = 0;
  #walked = false;
  #state: 'running' | 'publishing' = 'running';
  #notifiedAt = -Infinity;

  constructor(listener: ProgressListener) {
    this.#listener = listener;
  }

  /** Size of all files to come, so that a total can be estimated before the last one is read. */
  expectBytes(bytes: number): void {
    this.#expectedBytes = bytes;
    this.#notify(true);
  }

  /** Where it is known beforehand how many there are. */
  expectChunks(chunks: number): void {
    this.#expectedChunks = chunks;
    this.#notify(true);
  }

  read({ bytes, files, chunks }: Pick<ChunkPage, 'bytes' | 'files'> & { chunks: readonly unknown[] }): void {
    this.#readBytes += bytes;
    this.#progress.files += files;
    this.#progress.chunks += chunks.length;
    this.#notify();
  }

  skip(file: SkippedFile): void {
    this.#progress.skipped += 1;
    if (this.#skipped.length < NAMED_SKIPS) this.#skipped.push({ path: file.path, reason: file.reason });
    this.#notify();
  }

  /** @param ahead they are not counted again when the source is read once more. */
  reused(chunks: number, { ahead = false } = {}): void {
    this.#progress.reused += chunks;
    if (ahead) this.#reusedAhead += chunks;
    this.#notify();
  }

  embedded(chunks: number, tokens: number): void {
    this.#progress.embedded += chunks;
    this.#progress.tokens += tokens;
    this.#notify();
  }

  /** From here on the total is exact. */
  walked(): void {
    this.#walked = true;
    this.#notify(true);
  }

  /** All chunks can be found by full text. */
  searchable(): void {
    this.#progress.textSearchable = true;
    this.#notify(true);
  }

  /** The source is read once more; what has been embedded stays so. */
  readAgain(): void {
    const { embedded, tokens, textSearchable } = this.#progress;
    this.#before = this.snapshot();
    const stays = { embedded, tokens, textSearchable, reused: this.#reusedAhead };
    Object.assign(this.#progress, emptyProgress(), stays);
    this.#skipped.length = 0;
    this.#readBytes = 0;
    this.#walked = false;
    this.#notify(true);
  }

  publishing(removed: number): void {
    this.#progress.removed = removed;
    this.#state = 'publishing';
    this.#notify(true);
  }

  snapshot(): IndexProgress {
    const { embedded, reused, tokens } = this.#progress;
    const seconds = (performance.now() - this.#startedAt) / 1_000;
    const done = embedded + reused;
    const found = this.#found();
    const expected = this.#before?.chunks ?? this.#expectedChunks ?? this.#estimatedTotal();
    const total = this.#walked ? found.chunks : expected;
    return {
      ...this.#progress,
      ...found,
      total,
      tokensPerSecond: seconds > 0 ? Math.round(tokens / seconds) : 0,
      etaSeconds:
        total === null || done === 0 ? null : Math.round((Math.max(0, total - done) * seconds) / done),
    };
  }

  /** A second reading begins anew, and what has been found does not become less by that. */
  #found(): Pick<IndexProgress, 'files' | 'chunks' | 'skipped'> {
    const { files, chunks, skipped } = this.#progress;
    const before = this.#walked ? null : this.#before;
    return {
      files: Math.max(files, before?.files ?? 0),
      chunks: Math.max(chunks, before?.chunks ?? 0),
      skipped: Math.max(skipped, before?.skipped ?? 0),
    };
  }

  #estimatedTotal(): number | null {
    if (this.#readBytes === 0 || this.#expectedBytes === 0) return null;
    return Math.round(
      (this.#progress.chunks * Math.max(this.#expectedBytes, this.#readBytes)) / this.#readBytes,
    );
  }

  #notify(now = false): void {
    const time = performance.now();
    if (!now && time - this.#notifiedAt < NOTIFY_INTERVAL_MS) return;
    this.#notifiedAt = time;
    this.#listener(this.snapshot(), this.#skipped, this.#state);
  }
}
