import { AppError } from '@embergate/contracts/errors.ts';
import { gitEnvironment } from '@embergate/ingestion/git-environment.ts';
import { GRAMMARS } from '@embergate/ingestion/grammars.ts';
import { execFile } from 'node:child_process';
import { extname } from 'node:path';
import { promisify } from 'node:util';
import { wordsOf, type Question } from './question.ts';

const run = promisify(execFile);

/** Questions out of a repository's history, and the state of it that they are asked of. */
export interface History {
  /** The parent of the oldest commit that is asked for. */
  parent: string;
  questions: Question[];
}

interface Commit {
  id: string;
  message: string;
  /** Files of code that it changed, and neither made nor removed. */
  changed: string[];
}

/** A commit that changes more is a sweep through the code: its message is about none of them. */
const MAX_CHANGED = 5;
const MIN_WORDS = 3;
/** How far back is looked, for each question that is wanted. */
const COMMITS_PER_QUESTION = 20;

/**
 * The newest `limit` commits, after `offset` of them, whose message may tell which files they change. All are asked of one state, the parent of the oldest of
 * them: an index for each parent would cost as many times the embedding. So no commit that is asked for is in
 * the index, and the later a commit, the more the code may have moved on; what did not exist yet at that state is not asked for.
 * @throws AppError `git_failed` for no git repository, `source_not_found` for one without such commits, `usage` where
 * the offset leaves none.
 */
export async function readHistory(
  repository: string,
  { limit, offset }: { limit: number; offset: number },
): Promise<History> {
  const args = ['log', '--no-merges', '--no-renames', '--diff-filter=M', '--name-only', '-z'];
  const log = await git(repository, [
    ...args,
    `--max-count=${(offset + limit) * COMMITS_PER_QUESTION}`,
    '--format=%x1e%H%x1f%s%x1f',
  ]);
  const found = commitsOf(log);
  if (found.length === 0) {
    const message = `No commit of ${repository} says in words which files it changes.`;
    throw new AppError('source_not_found', message);
  }
  const commits = found.slice(offset, offset + limit);
  const oldest = commits.at(-1);
  if (!oldest) throw new AppError('usage', `--offset ${offset} leaves none of ${found.length} commits.`);
  const parent = (await git(repository, ['rev-parse', `${oldest.id}^`])).trim();
  const files = new Set((await git(repository, ['ls-tree', '-r', '-z', '--name-only', parent])).split('\0'));
  const questions = commits.flatMap(({ message, changed }) => {
    const relevant = changed.filter((path) => files.has(path)).map((path) => ({ path, grade: 1 }));
    return relevant.length > 0 ? [{ query: message, relevant }] : [];
  });
  return { parent, questions };
}

/** A checkout of one commit, beside the repository, which stays as it is. */
export async function checkOut(repository: string, commit: string, folder: string): Promise<void> {
  await git('.', ['clone', '--quiet', '--shared', '--no-checkout', '--', repository, folder]);
  await git(folder, ['-c', 'advice.detachedHead=false', 'checkout', '--quiet', commit]);
}

function commitsOf(log: string): Commit[] {
  return log
    .split('\x1e')
    .slice(1)
    .flatMap((entry) => {
      const [id = '', subject = '', names = ''] = entry.split('\x1f');
      const changed = names
        .split('\0')
        .map((name) => name.trim())
        .filter(isCode);
      const message = messageOf(subject);
      const usable = changed.length > 0 && changed.length <= MAX_CHANGED;
      return usable && wordsOf(message).length >= MIN_WORDS ? [{ id, message, changed }] : [];
    });
}

/** The subject without what a host adds to it: numbers of issues, `fix(scope):`. */
const messageOf = (subject: string): string =>
  subject
    .replace(/^\w+(?:\([^)]*\))?!?:\s+/, '')
    .replace(/\s*\(?#\d+\)?/g, '')
    .trim();

const CODE = new Set(GRAMMARS.flatMap(({ extensions }) => extensions));
const isCode = (path: string): boolean => CODE.has(extname(path).slice(1).toLowerCase());

async function git(folder: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run('git', ['-C', folder, ...args], {
      env: gitEnvironment(),
      maxBuffer: 256 * 1_024 * 1_024,
    });
    return stdout;
  } catch (cause) {
    const { stderr } = cause as { stderr?: string };
    throw new AppError(
      'git_failed',
      `git ${args[0]} of ${folder} failed: ${stderr?.trim() || String(cause)}`,
      {
        cause,
      },
    );
  }
}
