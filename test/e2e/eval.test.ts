import type { SearchResult } from '@embergate/contracts/http-search.ts';
import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { commitAll, writeFiles, writeSampleProject } from '@embergate/testing/sample-project.ts';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

interface Report {
  questions: number;
  chunks: number;
  configurations: { name: string; ndcg: { mean: number }; recall: { mean: number } }[];
  differences: { name: string; minus: string; mrr: { mean: number; low: number; high: number } }[];
}

describe('how good a search is can be measured by anybody', () => {
  let home: { path: string; remove: () => Promise<void> };
  let embergate: RunningEmbergate;
  const repository = () => join(home.path, 'sample');

  /** `embergate eval` with a report of JSON. */
  async function evaluate(...args: string[]): Promise<Report> {
    const shown = await runEmbergate(['eval', ...args, '--json', '--work-dir', join(home.path, 'work')], {
      env: { EMBERGATE_URL: embergate.url },
    });
    expect(shown.code, shown.stderr).toBe(0);
    return JSON.parse(shown.stdout) as Report;
  }
  async function index(folder: string, repo: string, collection = 'default'): Promise<void> {
    const source = { type: 'directory', path: folder } as const;
    const { id } = await embergate.client.createIndexJob({ source, repo, collection });
    for await (const job of embergate.client.watchIndexJob(id)) expect(job.error).toBeNull();
  }

  beforeAll(async () => {
    home = await temporaryFolder('eval');
    await writeSampleProject(repository());
    embergate = await RunningEmbergate.start({ dataDir: join(home.path, 'data') });
  });
  afterAll(async () => {
    await embergate?.end();
    await home?.remove();
  });

  it('functions of three languages by what their authors say of them', async () => {
    const { questions, configurations, differences } = await evaluate(repository());
    expect(questions).toBe(4);
    expect(configurations.map(({ name, recall }) => [name, recall.mean])).toEqual([
      ['hybrid', 1],
      ['dense', 1],
      ['lexical', expect.any(Number)],
    ]);
    expect(differences.map(({ name, minus }) => `${name} - ${minus}`)).toEqual([
      'hybrid - dense',
      'hybrid - lexical',
    ]);
    // What was made for it is gone.
    expect((await embergate.client.collections()).data.map(({ name }) => name)).toEqual([]);
    expect(await readdir(join(home.path, 'work'))).toEqual([]);
  });

  it('the files that a commit changed by its message, before it', async () => {
    await writeFiles(repository(), { 'lib/parser.py': '# Settings\nclass ConfigParser:\n    pass\n' });
    await commitAll(repository(), 'read settings of a header line');
    const { questions, configurations } = await evaluate(repository(), '--task', 'commits');
    expect(questions).toBe(1);
    expect(configurations[0]).toMatchObject({ name: 'hybrid', recall: { mean: 1 } });
  });

  it('graded questions of a collection that is there, two searches side by side', async () => {
    await index(repository(), 'sample');
    await index(repository(), 'copy');
    const file = join(home.path, 'questions.jsonl');
    const relevant = [
      { path: 'src/retry.ts:3-13', grade: 3 },
      { path: 'src/http-server.ts', grade: 1 },
    ];
    await writeFile(file, JSON.stringify({ query: 'try again after a failure', repo: 'sample', relevant }));
    const both = ['--compare', 'mode=lexical', '--compare', 'arrange=off,weights=1:1'];
    const { configurations } = await evaluate(file, '--task', 'queries', ...both);
    expect(configurations.map(({ name }) => name)).toEqual(['hybrid', 'lexical', 'arrange=off,weights=1:1']);
    expect(configurations[0]?.ndcg.mean).toBeGreaterThan(0.8);
    expect((await embergate.client.collections()).data.map(({ name }) => name)).toEqual(['default']);
  });

  it('leaves a collection alone that it has not made, whatever its name', async () => {
    const name = 'eval-functions-1';
    await index(repository(), 'mine', name);
    await evaluate(repository());
    const kept = await runEmbergate(['eval', repository(), '--keep'], {
      env: { EMBERGATE_URL: embergate.url },
    });
    expect(kept.code).toBe(2);
    expect(kept.stderr).toMatch(/usage: The collection eval-functions-1 holds mine, /);
    expect((await embergate.client.collection(name)).repos.map((repo) => repo.name)).toEqual(['mine']);
    await embergate.client.deleteCollection(name);
  });

  it('a repository that is there twice is found once, with a word on where else it is', async () => {
    const search = async (arrange?: { fold: boolean }): Promise<SearchResult[]> =>
      (await embergate.client.search({ query: 'retry with backoff', ...(arrange && { arrange }) })).results;
    const results = await search();
    const texts = results.map(({ text }) => text);
    expect(new Set(texts).size).toBe(texts.length);
    const [best] = results;
    const other = best?.repo === 'sample' ? 'copy' : 'sample';
    const { path, startLine, endLine } = best ?? {};
    expect(path).toBe('src/retry.ts');
    expect(best?.duplicates).toEqual([{ repo: other, path, startLine, endLine }]);
    const apart = await search({ fold: false });
    expect(
      apart
        .filter((one) => one.text === best?.text)
        .map(({ repo }) => repo)
        .sort(),
    ).toEqual(['copy', 'sample']);
  });

  it('a reranker that is not there can’t be measured, and says so', async () => {
    const file = join(home.path, 'questions.jsonl');
    const shown = await runEmbergate(['eval', file, '--task', 'queries', '--compare', 'rerank=on'], {
      env: { EMBERGATE_URL: embergate.url },
    });
    expect(shown.code).toBe(1);
    expect(shown.stderr).toMatch(/invalid_request: rerank=on cannot be measured: /);
  });
});
