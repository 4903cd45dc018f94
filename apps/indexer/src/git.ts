import { AppError } from '@embergate/contracts/errors.ts';
import type { IndexSource } from '@embergate/contracts/index-job.ts';
import { gitEnvironment } from '@embergate/ingestion/git-environment.ts';
import { maskPassword } from '@embergate/platform/mask-password.ts';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const CLONE_TIMEOUT_MS = 600_000;
/** Clones this old belong to an indexer that was killed. Younger ones may be another indexer's. */
const LEFT_BEHIND_MS = 24 * 3_600_000;

export interface Checkout {
  folder: string;
  remove: () => Promise<void>;
}

interface CheckoutPlace {
  clonesDir: string;
  jobId: string;
  signal: AbortSignal;
}

/**
 * A shallow clone of one ref, without submodules, hooks, large files (LFS) or prompts, in a folder of its own: an
 * earlier attempt at the same job may still be reading its clone.
 * @throws AppError `git_failed` with git's own words.
 */
export async function checkOut(
  source: Extract<IndexSource, { type: 'git' }>,
  { clonesDir, jobId, signal }: CheckoutPlace,
): Promise<Checkout> {
  await mkdir(clonesDir, { recursive: true });
  const folder = await mkdtemp(join(clonesDir, `${jobId}-`));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
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
  try {
    await run('git', args, { timeout: CLONE_TIMEOUT_MS, signal, env: gitEnvironment() });
  } catch (error) {
    await remove();
    signal.throwIfAborted();
    const words =
      error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : (error as Error).message;
    throw new AppError(
      'git_failed',
      `git clone of ${maskPassword(source.url)} failed: ${maskPassword(words)}`,
      { cause: error },
    );
  }
  return { folder, remove };
}

/** Removes what indexers that were killed left behind. */
export async function removeOldClones(clonesDir: string): Promise<void> {
  for (const name of await readdir(clonesDir).catch(() => [])) {
    const folder = join(clonesDir, name);
    const stats = await stat(folder).catch(() => null);
    if (stats && Date.now() - stats.mtimeMs > LEFT_BEHIND_MS)
      await rm(folder, { recursive: true, force: true });
  }
}
