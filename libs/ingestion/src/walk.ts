import { lstat, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@embergate/contracts/errors.ts';
import type { Candidate } from './candidates.ts';
import { folderCandidates } from './folder-candidates.ts';
import { gitCandidates, inWorkTree } from './git-candidates.ts';
import { IgnoreRules, parentOf } from './ignore-rules.ts';
import { readSource } from './read-source.ts';
import type { SkipReason } from './read-source.ts';
import { isBinaryName, isGeneratedName } from './skip-names.ts';

export interface WalkedFile {
  kind: 'file';
  /** Relative to the root, with `/` separators on every system. */
  path: string;
  /** Without byte order mark; line endings as in the file. */
  text: string;
  sizeBytes: number;
}

/** Something that is not indexed, and why. What an ignore rule leaves out is not mentioned at all. */
export interface SkippedPath {
  kind: 'skipped';
  path: string;
  reason: SkipReason;
}

export interface WalkOptions {
  /** Larger files are skipped as `too_large`. */
  maxFileBytes?: number;
  /** `auto` asks git where the root lies in a work tree; `never` walks the folder. */
  git?: 'auto' | 'never';
  /** Looks into one of so many files only; default 1. */
  every?: number;
}

const DEFAULT_MAX_FILE_BYTES = 1_024 * 1_024;
const IGNORE_FILE = '.embergateignore';

/**
 * The files of a folder that are worth indexing, one at a time and in the order of their paths, along with what was
 * skipped. In a git work tree git says which files belong; elsewhere nested .gitignore files do. In both,
 * `.embergateignore` (same syntax, any folder) leaves out more.
 *
 * Memory: the list of paths in a work tree, and one file's text.
 * @throws AppError `source_not_found` when `root` is not a folder, `git_failed`
 */
export async function* walkSource(
  root: string,
  options: WalkOptions = {},
): AsyncGenerator<WalkedFile | SkippedPath, void, undefined> {
  const { maxFileBytes = DEFAULT_MAX_FILE_BYTES, every = 1 } = options;
  const folder = await realFolder(root);
  let met = 0;
  for await (const { path, skip } of candidatesOf(folder, options)) {
    if (met++ % every !== 0) continue;
    if (skip) {
      yield { kind: 'skipped', path, reason: skip };
      continue;
    }
    const read = await readSource(join(folder, path), maxFileBytes);
    if (read.outcome === 'text') yield { kind: 'file', path, text: read.text, sizeBytes: read.sizeBytes };
    else if (read.outcome === 'skipped') yield { kind: 'skipped', path, reason: read.reason };
    // What is gone was deleted from the work tree and not yet from git, or while the walk ran: it needs no word.
  }
}

export interface SourceMeasure {
  paths: ReadonlySet<string>;
  bytes: number;
}

/**
 * Paths and bytes of the files that {@link walkSource} is going to look into, from their names and sizes alone: an estimate for
 * progress, a little high where binary files have unusual names.
 *
 * Memory: all paths.
 * @throws as walkSource does
 */
export async function measureSource(root: string, options: WalkOptions = {}): Promise<SourceMeasure> {
  const { maxFileBytes = DEFAULT_MAX_FILE_BYTES } = options;
  const folder = await realFolder(root);
  const paths = new Set<string>();
  let bytes = 0;
  for await (const { path, skip } of candidatesOf(folder, options)) {
    if (skip) continue;
    const stats = await lstat(join(folder, path)).catch(() => null);
    if (!stats?.isFile() || stats.size > maxFileBytes) continue;
    paths.add(path);
    bytes += stats.size;
  }
  return { paths, bytes };
}

/**
 * Which folder `root` is at this moment: another string as soon as something else is mounted, moved or made there.
 * @throws AppError `source_not_found` when `root` is not a folder
 */
export async function folderIdentity(root: string): Promise<string> {
  const folder = await realFolder(root);
  // Inode numbers go beyond what a double holds.
  const stats = await stat(folder, { bigint: true }).catch((cause: unknown) => {
    throw unreadable(root, cause);
  });
  return `${stats.dev}:${stats.ino}:${folder}`;
}

async function* candidatesOf(folder: string, options: WalkOptions): AsyncGenerator<Candidate> {
  const git = options.git !== 'never' && (await inWorkTree(folder));
  for await (const candidate of git ? fromGit(folder) : fromFolder(folder)) {
    const byName = candidate.skip ? undefined : skippedByName(candidate.path);
    if (!byName) yield candidate;
    else if (await exists(join(folder, candidate.path))) yield { path: candidate.path, skip: byName };
  }
}

/** Git lists what was deleted from the work tree alone. */
const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

function skippedByName(path: string): SkipReason | undefined {
  if (isGeneratedName(path)) return 'generated';
  return isBinaryName(path) ? 'binary' : undefined;
}

async function realFolder(root: string): Promise<string> {
  try {
    const folder = await realpath(root);
    if ((await stat(folder)).isDirectory()) return folder;
  } catch (cause) {
    throw unreadable(root, cause);
  }
  throw new AppError('source_not_found', `${root} is not a folder`);
}

const unreadable = (root: string, cause: unknown): AppError =>
  new AppError('source_not_found', `The folder ${root} does not exist or cannot be read`, { cause });

function fromFolder(root: string): AsyncGenerator<Candidate> {
  return folderCandidates(root, [new IgnoreRules(root, '.gitignore'), new IgnoreRules(root, IGNORE_FILE)]);
}

async function* fromGit(root: string): AsyncGenerator<Candidate> {
  const rules = new IgnoreRules(root, IGNORE_FILE);
  const isReal = realFolders(root);
  for (const candidate of await gitCandidates(root)) {
    if (await rules.ignoresFile(candidate.path)) continue;
    // Git's index may name files below what has since become a link to somewhere else.
    const inside = candidate.skip !== undefined || (await isReal(parentOf(candidate.path)));
    yield inside ? candidate : { path: candidate.path, skip: 'symlink' };
  }
}

/** Says of folders, given relative to `root`, whether no part of their path is a symbolic link. A missing one is real. */
function realFolders(root: string): (folder: string) => Promise<boolean> {
  let asked = { folder: '', real: true };
  return async (folder) => {
    // The paths come sorted, so the last answer is the one that is asked for again.
    if (folder !== asked.folder) {
      const path = join(root, folder);
      asked = { folder, real: (await realpath(path).catch(() => path)) === path };
    }
    return asked.real;
  };
}
