import { AppError } from '@embergate/contracts/errors.ts';
import type { IndexSource } from '@embergate/contracts/index-job.ts';
import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const CLONE_TIMEOUT_MS = 600_000;

export interface Checkout {
  folder: string;
  remove: () => Promise<void>;
}

/**
 * A shallow clone of one ref, without submodules, hooks or prompts.
 * @throws AppError `git_failed` with git's own words.
 */
export async function checkOut(
  source: Extract<IndexSource, { type: 'git' }>,
  folder: string,
  signal: AbortSignal,
): Promise<Checkout> {
  // What an earlier try left half-done.
  await rm(folder, { recursive: true, force: true });
  await mkdir(dirname(folder), { recursive: true });
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
    await run('git', args, { timeout: CLONE_TIMEOUT_MS, signal });
  } catch (error) {
    await remove();
    signal.throwIfAborted();
    const words =
      error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : (error as Error).message;
    throw new AppError(
      'git_failed',
      `git clone of ${withoutPassword(source.url)} failed: ${withoutPassword(words)}`,
      { cause: error },
    );
  }
  return { folder, remove };
}

/** The commit a folder is at, or null where it is none of git's. */
export async function headCommit(folder: string): Promise<string | null> {
  try {
    const { stdout } = await run('git', ['-C', folder, 'rev-parse', 'HEAD'], { timeout: 10_000 });
    return stdout.trim() || null;
  } catch {
    return null;
  }
}

const withoutPassword = (text: string): string => text.replace(/\/\/[^@/\s]*@/g, '//***@');
