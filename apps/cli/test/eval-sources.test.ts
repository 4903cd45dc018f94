import { commitAll, writeFiles } from '@embergate/testing/sample-project.ts';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkOut, readHistory } from '../src/eval/commits.ts';
import { readQueryFile } from '../src/eval/query-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'eval-sources-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a history asks for the files that its commits changed', () => {
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', folder, ...args], { encoding: 'utf8' }).trim();
  const commit = async (message: string, files: Record<string, string>): Promise<string> => {
    await writeFiles(folder, files);
    await commitAll(folder, message);
    return git('rev-parse', 'HEAD');
  };
  beforeEach(() => {
    execFileSync('git', ['init', '--quiet', '--initial-branch=main', folder]);
  });

  test('of the state before the oldest of them, in the words of the message', async () => {
    await commit('everything at once here', { 'a.py': '1', 'b.py': '1', 'c.ts': '1', 'README.md': '1' });
    const before = await commit('too short', { 'a.py': '2' });
    await commit('fix(core): read the header twice (#123)', { 'a.py': '3', 'README.md': '2' });
    await commit('Only documents of it changed', { 'README.md': '3' });
    await commit('add a new file of code', { 'new.py': '1', 'b.py': '2' });
    await commit('change the new file again', { 'new.py': '2' });
    await commit('rename everything in five and more files', {
      ...Object.fromEntries(['a.py', 'b.py', 'c.ts'].map((name) => [name, '9'])),
    });
    const { parent, questions } = await readHistory(folder, { limit: 10, offset: 0 });
    expect(parent).toBe(before);
    expect(questions).toEqual([
      {
        query: 'rename everything in five and more files',
        relevant: ['a.py', 'b.py', 'c.ts'].map((path) => ({ path, grade: 1 })),
      },
      // What did not exist yet in the state that is asked is not asked for: new.py, and the commit of it alone.
      { query: 'add a new file of code', relevant: [{ path: 'b.py', grade: 1 }] },
      { query: 'read the header twice', relevant: [{ path: 'a.py', grade: 1 }] },
    ]);
  });

  test('after an offset the next older ones, of an older state', async () => {
    const before = await commit('everything at once here', { 'a.py': '1' });
    await commit('change it for the first time', { 'a.py': '2' });
    await commit('change it for the second time', { 'a.py': '3' });
    const { parent, questions } = await readHistory(folder, { limit: 1, offset: 1 });
    expect(parent).toBe(before);
    expect(questions.map(({ query }) => query)).toEqual(['change it for the first time']);
    await expect(readHistory(folder, { limit: 1, offset: 2 })).rejects.toMatchObject({
      code: 'usage',
      message: '--offset 2 leaves none of 2 commits.',
    });
  });

  test('the state is checked out elsewhere, and the repository stays as it is', async () => {
    const first = await commit('the first state of all', { 'a.py': 'old' });
    await commit('the second state of all', { 'a.py': 'new', 'b.py': 'new' });
    const copy = await mkdtemp(join(tmpdir(), 'eval-copy-'));
    try {
      await checkOut(folder, first, copy);
      expect((await readdir(copy)).sort()).toEqual(['.git', 'a.py']);
      expect(git('status', '--porcelain', '--branch')).toBe('## main');
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  });

  test('a history without such a commit, and a folder that has none, are said by name', async () => {
    await commit('the first and only commit', { 'a.py': '1' });
    await expect(readHistory(folder, { limit: 10, offset: 0 })).rejects.toMatchObject({
      code: 'source_not_found',
      message: expect.stringContaining(folder) as string,
    });
    await rm(join(folder, '.git'), { recursive: true });
    await expect(readHistory(folder, { limit: 10, offset: 0 })).rejects.toMatchObject({
      code: 'git_failed',
      message: expect.stringMatching(/not a git repository/) as string,
    });
  });
});

describe('a file of graded questions', () => {
  const read = async (...lines: string[]) => {
    const file = join(folder, 'questions.jsonl');
    await writeFile(file, lines.join('\n'));
    return readQueryFile(file);
  };

  test('a line a question; places are files or lines of them, grades 0 to 3', async () => {
    const questions = await read(
      '{"query": "retry with backoff", "repo": "app", "relevant": [{"path": "src/retry.ts:10-42", "grade": 3}, {"path": "docs/retry.md"}]}',
      '',
      '{"query": "close", "collection": "other", "relevant": [{"path": "a:b.py:7", "grade": 2, "repo": "lib"}, {"path": "c.py", "grade": 0}]}',
    );
    expect(questions).toEqual([
      {
        query: 'retry with backoff',
        collection: undefined,
        repo: 'app',
        relevant: [
          { path: 'src/retry.ts', startLine: 10, endLine: 42, repo: 'app', grade: 3 },
          { path: 'docs/retry.md', repo: 'app', grade: 1 },
        ],
      },
      {
        query: 'close',
        collection: 'other',
        repo: undefined,
        relevant: [
          { path: 'a:b.py', startLine: 7, endLine: 7, repo: 'lib', grade: 2 },
          { path: 'c.py', repo: undefined, grade: 0 },
        ],
      },
    ]);
  });

  test.each([
    ['not JSON', 'line 2: is not JSON'],
    ['{"query": "x"}', 'line 2: .*relevant'],
    ['{"query": "x", "relevant": [{"path": "a", "grade": 4}]}', 'line 2: .*grade'],
    ['{"query": "x", "relevant": [{"path": "a", "grade": 0}]}', 'line 2: .*needs a grade above 0'],
    ['{"query": "x", "relevant": [{"path": "a"}], "limit": 3}', 'line 2: .*limit'],
  ])('%s is refused with its line', async (line, message) => {
    const good = '{"query": "x", "relevant": [{"path": "a"}]}';
    await expect(read(good, line)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(message) as string,
    });
  });

  test('an empty file, and one that is not there, are said by name', async () => {
    await expect(read('', '')).rejects.toThrow(/questions\.jsonl holds no questions/);
    await expect(readQueryFile(join(folder, 'missing.jsonl'))).rejects.toMatchObject({
      code: 'source_not_found',
    });
  });
});
