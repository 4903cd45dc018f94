import { AppError } from '@embergate/contracts/errors.ts';
import { ALL_REPOS, type RequestedSource } from '@embergate/contracts/index-job.ts';
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/**
 * Checks that a source may be indexed: a folder, of code or of vectors, only inside INDEX_ROOTS, after all symbolic links; a git URL only over a
 * network protocol, or a file inside INDEX_ROOTS.
 *
 * @param roots absolute folders.
 * @returns the source with its real path.
 * @throws AppError `source_not_allowed`, `source_not_found`, `invalid_request`.
 */
export async function checkSource(
  source: RequestedSource,
  roots: readonly string[],
): Promise<RequestedSource> {
  if (source.type === 'collection') return source;
  if (source.type === 'vectors' && /\.parquet$/i.test(source.path)) {
    const folder = await allowedFolder(dirname(source.path), roots);
    return { ...source, path: join(folder, basename(source.path)) };
  }
  if (source.type !== 'git') return { ...source, path: await allowedFolder(source.path, roots) };
  if (source.ref?.startsWith('-'))
    throw new AppError('invalid_request', 'source.ref must not start with "-".');
  if (!URL.canParse(source.url)) {
    throw new AppError(
      'invalid_request',
      'source.url must be a URL such as https://host/owner/repo.git; for a local folder use {"type": "directory"}.',
    );
  }
  const url = new URL(source.url);
  if (['https:', 'http:', 'ssh:'].includes(url.protocol)) return source;
  if (url.protocol === 'file:')
    return { ...source, url: pathToFileURL(await allowedFolder(pathOf(url), roots)).href };
  throw new AppError(
    'source_not_allowed',
    `git sources may use https, http, ssh or file URLs, not ${url.protocol}`,
  );
}

function pathOf(url: URL): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new AppError(
      'invalid_request',
      `source.url is no file URL of this machine: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}

async function allowedFolder(path: string, roots: readonly string[]): Promise<string> {
  if (!isAbsolute(path)) throw new AppError('invalid_request', 'source.path must be absolute.');
  if (path.includes('\0')) throw new AppError('invalid_request', 'source.path holds a NUL character.');
  // Before the disk is asked: the answer must not tell which files exist elsewhere.
  if (!isInside(resolve(path), roots)) throw notAllowed(path, roots);
  let real: string;
  try {
    real = await realpath(path);
  } catch (error) {
    throw new AppError(
      'source_not_found',
      `This gateway sees no folder ${path}. If it lies on another machine, use a git source.`,
      {
        cause: error,
      },
    );
  }
  const realRoots = await Promise.all(roots.map((root) => realpath(root).catch(() => root)));
  if (!isInside(real, realRoots)) throw notAllowed(path, roots);
  if (!(await stat(real)).isDirectory()) throw new AppError('source_not_found', `${path} is not a folder.`);
  return real;
}

function notAllowed(path: string, roots: readonly string[]): AppError {
  const allowed = roots.length > 0 ? `INDEX_ROOTS is ${roots.join(', ')}` : 'INDEX_ROOTS is empty';
  return new AppError(
    'source_not_allowed',
    `${path} is outside the folders that may be indexed (${allowed}). Allow it there, or use a git source: a URL that this gateway can clone.`,
  );
}

const isInside = (path: string, roots: readonly string[]): boolean =>
  roots.some((root) => {
    const way = relative(root, path);
    return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way));
  });

/** The last part of a path or URL: what people call a repository. */
export function repoNameOf(source: RequestedSource): string {
  if (source.type === 'collection') return ALL_REPOS;
  const last =
    source.type === 'git'
      ? basename(new URL(source.url).pathname, '.git')
      : basename(source.path, '.parquet');
  return last === '' ? 'root' : last;
}
