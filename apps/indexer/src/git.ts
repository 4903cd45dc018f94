import { AppError } from '@embergate/contracts/errors.ts';
import type { IndexSource } from '@embergate/contracts/index-job.ts';
import { maskPassword } from '@embergate/platform/mask-password.ts';
import { lstat, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runGit } from './run-git.ts';

/** What one clone may take. */
export interface CloneLimits {
  megabytes: number;
  seconds: number;
}

const LOOK_MS = 500;
/** The job's id, and what mkdtemp adds. */
const CLONE_NAME = /^(.+)-\w{6}$/;

export interface Checkout {
  folder: string;
  /** Never fails: what cannot be removed now is removed with what killed indexers left. */
  remove: () => Promise<void>;
}

interface CheckoutPlace {
  clonesDir: string;
  jobId: string;
  signal: AbortSignal;
  limits: CloneLimits;
}

/**
 * A shallow clone of one ref, without submodules, hooks, large files (LFS) or prompts, in a folder of its own: an
 * earlier attempt at the same job may still be reading its clone.
 * @throws AppError `git_failed` with git's own words, or where it took too long; `source_too_large`.
 */
export async function checkOut(
  source: Extract<IndexSource, { type: 'git' }>,
  { clonesDir, jobId, signal, limits }: CheckoutPlace,
): Promise<Checkout> {
  await mkdir(clonesDir, { recursive: true });
  const folder = await mkdtemp(join(clonesDir, `${jobId}-`));
  const remove = (): Promise<void> => removeFolder(folder).catch(() => undefined);
  const args = [
    ...['-c', 'core.hooksPath=/dev/null', '-c', 'core.symlinks=false', '-c', 'protocol.ext.allow=never'],
    // Nobody is there to answer a question.
    ...[
      '-c',
      'core.askPass=true',
      '-c',
      'core.sshCommand=ssh -oBatchMode=yes',
      '-c',
      'credential.interactive=never',
    ],
    ...['clone', '--quiet', '--depth', '1', '--single-branch', '--no-tags'],
    ...(source.ref === undefined ? [] : ['--branch', source.ref]),
    ...['--', source.url, folder],
  ];
  const guard = guardClone(folder, limits);
  try {
    await runGit(args, AbortSignal.any([signal, guard.signal]));
    await guard.look();
    guard.signal.throwIfAborted();
  } catch (error) {
    await remove();
    signal.throwIfAborted();
    if (guard.signal.reason instanceof AppError) throw guard.signal.reason;
    const message = `git clone of ${maskPassword(source.url)} failed: ${(error as Error).message}`;
    throw new AppError('git_failed', message, { cause: error });
  } finally {
    guard.stop();
  }
  return { folder, remove };
}

/** Looks how large the clone has become, and ends it where it is beyond what it may be. */
function guardClone(
  folder: string,
  { megabytes, seconds }: CloneLimits,
): { signal: AbortSignal; look: () => Promise<void>; stop: () => void } {
  const aborter = new AbortController();
  const look = async (): Promise<void> => {
    if ((await folderBytes(folder)) <= megabytes * 2 ** 20) return;
    const what = `The clone has become larger than ${megabytes} MB`;
    aborter.abort(new AppError('source_too_large', `${what} (GIT_CLONE_MAX_MB); it was removed.`));
  };
  const looking = setInterval(() => void look(), LOOK_MS);
  const late = setTimeout(
    () =>
      aborter.abort(
        new AppError('git_failed', `git clone took longer than ${seconds} s (GIT_CLONE_TIMEOUT_S).`),
      ),
    seconds * 1_000,
  );
  const stop = (): void => {
    clearInterval(looking);
    clearTimeout(late);
  };
  return { signal: aborter.signal, look, stop };
}

/** What vanishes while it is counted does not count. */
async function folderBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  let bytes = 0;
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const stats = await lstat(join(entry.parentPath, entry.name)).catch(() => null);
    bytes += stats?.size ?? 0;
  }
  return bytes;
}

/** A file system may need a moment. */
const removeFolder = (folder: string): Promise<void> =>
  rm(folder, { recursive: true, force: true, maxRetries: 5 });

/** Removes what indexers that were killed left behind: clones whose job has ended, or is known no more. */
export async function removeOldClones(
  clonesDir: string,
  isUnended: (jobId: string) => Promise<boolean>,
): Promise<void> {
  for (const name of await readdir(clonesDir).catch(() => [])) {
    const [, jobId] = CLONE_NAME.exec(name) ?? [];
    if (jobId !== undefined && !(await isUnended(jobId))) await removeFolder(join(clonesDir, name));
  }
}
