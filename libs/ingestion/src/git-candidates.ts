import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { AppError } from '@embergate/contracts/errors.ts';
import { byPath } from './candidates.ts';
import type { Candidate } from './candidates.ts';
import { gitEnvironment } from './git-environment.ts';
import { folderVerdict } from './skip-names.ts';

/**
 * True where `root` lies in the work tree of a repository that git is willing to read, and is not itself ignored there
 * (git would list nothing then, though the user named this folder).
 */
export async function inWorkTree(root: string): Promise<boolean> {
  const inside = await finished(git(root, ['rev-parse', '--is-inside-work-tree']));
  if (inside.code !== 0 || inside.stdout.trim() !== 'true') return false;
  return (await finished(git(root, ['check-ignore', '-q', '.']))).code !== 0;
}

/**
 * The files below `root` that git tracks, or would track: .gitignore, .git/info/exclude and the user's global excludes
 * hold. Sorted. Submodules and nested repositories are one skipped entry each.
 * @throws AppError `git_failed`
 */
export async function gitCandidates(root: string): Promise<Candidate[]> {
  const candidates = new Map<string, Candidate>();
  const child = git(root, ['ls-files', '-z', '--cached', '--others', '--exclude-standard']);
  const { code, stderr } = await finished(child, (entry) => {
    const candidate = candidateOf(entry);
    if (candidate) candidates.set(candidate.path, candidate);
  });
  if (code !== 0)
    throw new AppError('git_failed', `git ls-files failed in ${root}: ${stderr.trim().slice(0, 500)}`);
  return [...candidates.values()].sort(byPath);
}

function candidateOf(entry: Buffer): Candidate | null {
  const path = entry.toString('utf8');
  const folders = path.split('/');
  for (const [depth, folder] of folders.slice(0, -1).entries()) {
    const verdict = folderVerdict(folder);
    if (verdict === 'silent') return null;
    if (verdict === 'dependencies')
      return { path: folders.slice(0, depth + 1).join('/'), skip: 'dependencies' };
  }
  // Git names an untracked repository with a slash at the end.
  if (path.endsWith('/')) return { path: path.slice(0, -1), skip: 'nested_repository' };
  return Buffer.from(path).equals(entry) ? { path } : { path, skip: 'not_utf8' };
}

/** Reads only: a repository from elsewhere must not get to run its own file system monitor or hooks. */
function git(root: string, args: string[]): ChildProcess {
  return spawn('git', ['-C', root, '-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null', ...args], {
    env: gitEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

interface Finished {
  /** Null when git could not be started. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Waits for a command. With `onEntry`, output goes there, cut at NUL bytes as it comes, and is not kept. */
function finished(child: ChildProcess, onEntry?: (entry: Buffer) => void): Promise<Finished> {
  return new Promise((resolve) => {
    let stdout = '';
    let stderr = '';
    let rest: Buffer = Buffer.alloc(0);
    child.stdout?.on('data', (data: Buffer) => {
      if (!onEntry) stdout += data.toString('utf8');
      else rest = cutAtNul(Buffer.concat([rest, data]), onEntry);
    });
    child.stderr?.on('data', (data: Buffer) => (stderr = (stderr + data.toString('utf8')).slice(-4_000)));
    child.on('error', () => resolve({ code: null, stdout, stderr }));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

function cutAtNul(data: Buffer, onEntry: (entry: Buffer) => void): Buffer {
  let start = 0;
  for (let nul = data.indexOf(0); nul >= 0; nul = data.indexOf(0, start)) {
    onEntry(data.subarray(start, nul));
    start = nul + 1;
  }
  return data.subarray(start);
}
