import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import type { ExpectedFile } from './expected-file.ts';
import { PartialFile } from './partial-file.ts';
import type { PullOptions } from './pull-options.ts';
import type { Source, SourceFailure, SourceOptions } from './sources.ts';

export interface Wanted {
  file: ExpectedFile;
  /** The file goes below it. */
  folder: string;
  /** What the model is called in errors. */
  model: string;
  sources: readonly Source[];
}

/**
 * Fetches one file from the first source that has it, going on where an earlier pull stopped.
 * Errors: `model_download_failed` naming each source and its reason, `storage_full`; the signal's reason.
 */
export async function fetchFile(
  { file, folder, model, sources }: Wanted,
  options: SourceOptions & { onBytes: (bytes: number, source: string) => void },
): Promise<void> {
  const sum = file.sha256 === undefined ? '' : ` (sha256 ${file.sha256})`;
  const advice = `Or get ${file.path}${sum} some other way, and name its folder: --from FOLDER.`;
  const partial = await PartialFile.open(folder, file);
  let keep = true;
  try {
    await fromFirst(sources, { what: file.path, model, advice, ...options }, (source) =>
      source.fetch(partial, {
        signal: options.signal,
        onBytes: (bytes) => options.onBytes(bytes, source.name),
      }),
    );
  } catch (error) {
    keep = toAppError(error).code !== 'storage_full';
    throw error;
  } finally {
    await partial.close({ keep });
  }
}

/** Tells how far a file has come, as one of several that have so many bytes together, of which so many are there. */
export const toldBytes =
  (
    { onProgress }: Pick<PullOptions, 'onProgress'>,
    { file, done, totalBytes }: { file: ExpectedFile; done: number; totalBytes: number },
  ) =>
  (bytes: number, source: string): void =>
    onProgress?.({
      source,
      file: file.path,
      bytes,
      totalBytes: file.bytes,
      overall: { bytes: done + bytes, totalBytes },
    });

/**
 * What the first source gives that does not fail. One that failed for the last thing comes last for this one: a hub out of reach
 * costs its time-out once.
 * Errors: `model_download_failed` naming each source and its reason, `storage_full`; the signal's reason.
 */
export async function fromFirst<T>(
  sources: readonly Source[],
  wanted: Pick<SourceOptions, 'signal' | 'onSourceFailed'> & { what: string; model: string; advice: string },
  work: (source: Source) => Promise<T>,
): Promise<T> {
  const { what, model, advice, signal, onSourceFailed } = wanted;
  const failures: SourceFailure[] = [];
  for (const source of sources.toSorted((a, b) => Number(a.failed) - Number(b.failed))) {
    try {
      return await work(source);
    } catch (error) {
      signal?.throwIfAborted();
      const failure = toAppError(error);
      if (failure.code === 'storage_full') throw failure;
      source.failed = true;
      failures.push({ source: source.name, place: source.place, file: what, reason: failure.message });
      onSourceFailed?.(failures.at(-1)!);
    }
  }
  throw new AppError(
    'model_download_failed',
    [
      `${what} of ${model} could not be fetched:`,
      ...failures.map(({ source, place, reason }) => `- ${source} (${place}): ${reason}`),
      `Let this machine reach one of these, or name a mirror (--mirror) or a folder (--from) that has it. ${advice}`,
    ].join('\n'),
  );
}
