import type { IndexJob, IndexJobRequest } from '@embergate/contracts/index-job.ts';
import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { commitAll, writeFiles, writeSampleProject } from '@embergate/testing/sample-project.ts';
import { execFileSync } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const FEATURE = {
  'src/cache.ts':
    '/** Keeps the most recently used entries. */\nexport class LruCache {\n  evictOldest(): void {}\n}\n',
};

describe('a git repository is indexed by its URL', () => {
  let home: { path: string; remove: () => Promise<void> };
  let embergate: RunningEmbergate;
  const commits = { main: '', feature: '' };

  const repository = () => join(home.path, 'roots', 'sample');
  const url = () => `file://${repository()}`;
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', repository(), ...args], { encoding: 'utf8' }).trim();
  const cli = (...args: string[]) => runEmbergate(args, { env: { EMBERGATE_URL: embergate.url } });

  async function index(
    request: Omit<Partial<IndexJobRequest>, 'source'> & { ref?: string },
  ): Promise<IndexJob> {
    const { ref, ...options } = request;
    const source = { type: 'git', url: url(), ...(ref !== undefined && { ref }) } as const;
    let last = await embergate.client.createIndexJob({ source, ...options });
    for await (last of embergate.client.watchIndexJob(last.id));
    return last;
  }
  async function commitOf(repo: string): Promise<string | null | undefined> {
    const { repos } = await embergate.client.collection('default');
    return repos.find(({ name }) => name === repo)?.commit;
  }
  const found = async (repo: string) => {
    const filter = { repo: [repo] };
    const { results } = await embergate.client.search({ query: 'evict the oldest cache entry', filter });
    return results.map(({ path }) => path);
  };

  beforeAll(async () => {
    home = await temporaryFolder('git');
    await writeSampleProject(repository());
    commits.main = git('rev-parse', 'HEAD');
    git('switch', '--quiet', '--create', 'feature');
    await writeFiles(repository(), FEATURE);
    await commitAll(repository(), 'cache');
    commits.feature = git('rev-parse', 'HEAD');
    git('tag', 'v1', commits.main);
    git('switch', '--quiet', 'main');
    // What is not committed is not part of the repository.
    await writeFiles(repository(), { 'src/draft.ts': 'export function draftOnly(): void {}\n' });
    embergate = await RunningEmbergate.start({
      dataDir: join(home.path, 'data'),
      env: { INDEX_ROOTS: join(home.path, 'roots') },
    });
  });

  afterAll(async () => {
    await embergate?.end();
    await home?.remove();
  });

  it('takes what the default branch has committed, and says which commit that was', async () => {
    const job = await index({});
    expect(job).toMatchObject({ state: 'completed', repo: 'sample', commit: commits.main });
    expect(await commitOf('sample')).toBe(commits.main);
    const draft = await embergate.client.search({ query: 'draftOnly', mode: 'lexical' });
    expect(draft.results).toEqual([]);
    const retry = await embergate.client.search({ query: 'retry with backoff' });
    expect(retry.results[0]).toMatchObject({ repo: 'sample', path: 'src/retry.ts' });
  });

  it('the same content under another name embeds nothing: its vectors are known', async () => {
    const job = await index({ repo: 'copy' });
    expect(job).toMatchObject({ state: 'completed', repo: 'copy', progress: { embedded: 0 } });
    expect(job.progress.reused).toBe(job.progress.chunks);
    const { repos } = await embergate.client.collection('default');
    const chunks = Object.fromEntries(repos.map(({ name, chunks: count }) => [name, count]));
    expect(chunks['copy']).toBe(chunks['sample']);
    expect(chunks['copy']).toBeGreaterThan(0);
  });

  it('a branch by its name, from the command line', async () => {
    const shown = await cli('index', url(), '--ref', 'feature', '--repo', 'by-branch', '--json');
    expect(shown.code).toBe(0);
    const job = JSON.parse(shown.stdout) as IndexJob;
    expect(job).toMatchObject({ state: 'completed', commit: commits.feature });
    // Only what the branch adds is new.
    expect(job.progress.embedded).toBeGreaterThan(0);
    expect(job.progress.embedded).toBeLessThan(job.progress.chunks);
    expect((await found('by-branch'))[0]).toBe('src/cache.ts');
  });

  it('a tag by its name, though the branch has gone on; a repo that goes back forgets what is gone', async () => {
    const job = await index({ ref: 'v1', repo: 'by-branch' });
    expect(job).toMatchObject({ state: 'completed', commit: commits.main, progress: { embedded: 0 } });
    expect(job.progress.removed).toBeGreaterThan(0);
    expect(await commitOf('by-branch')).toBe(commits.main);
    expect(await found('by-branch')).not.toContain('src/cache.ts');
  });

  it('a branch that does not exist: the job fails with git’s own words, and what was indexed stays', async () => {
    const job = await index({ ref: 'no-such-branch' });
    expect(job).toMatchObject({
      state: 'failed',
      error: {
        code: 'git_failed',
        message: expect.stringMatching(/Remote branch no-such-branch not found/) as string,
      },
    });
    expect(await commitOf('sample')).toBe(commits.main);
    const shown = await cli('index', url(), '--ref', 'no-such-branch');
    expect(shown.code).toBe(1);
    expect(shown.stderr).toMatch(/git_failed: .*no-such-branch/);
  });

  it('a folder that is no repository: the same', async () => {
    await writeFiles(join(home.path, 'roots', 'plain'), { 'a.py': 'x = 1\n' });
    const shown = await cli('index', `${url().replace(/sample$/, 'plain')}`);
    expect(shown.code).toBe(1);
    expect(shown.stderr).toMatch(/git_failed: .*not appear to be a git repository/s);
  });

  it('no clone is left behind, whether its job completed or failed', async () => {
    expect(await readdir(join(home.path, 'data', 'clones'))).toEqual([]);
  });

  it('a folder that the gateway may not see: `index` refuses and names the git source as the way', async () => {
    const elsewhere = join(home.path, 'elsewhere');
    await writeSampleProject(elsewhere);
    const shown = await cli('index', elsewhere);
    expect(shown.code).toBe(1);
    expect(shown.stderr).toMatch(/source_not_allowed: .*elsewhere.*INDEX_ROOTS.*git/s);
    expect(shown.stdout).toBe('');
    const asGit = await cli('index', `file://${elsewhere}`);
    expect(asGit.stderr).toContain('source_not_allowed');
    const missing = await cli('index', join(home.path, 'nowhere'));
    expect(missing.stderr).toMatch(/source_not_found: .*git URL/);
  });
});
