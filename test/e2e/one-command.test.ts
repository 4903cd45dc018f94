import type { SearchResponse } from '@embergate/contracts/http-search.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { descendantsOf, isAlive } from '@embergate/testing/processes.ts';
import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { commitAll, writeFiles, writeSampleProject } from '@embergate/testing/sample-project.ts';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

describe('one command indexes a project and searches it', () => {
  let project: { path: string; remove: () => Promise<void> };
  let data: { path: string; remove: () => Promise<void> };
  let embergate: RunningEmbergate;

  const cli = (...args: string[]) => runEmbergate(args, { env: { EMBERGATE_URL: embergate.url } });
  const paths = (answer: SearchResponse) => answer.results.map((result) => result.path);

  beforeAll(async () => {
    project = await temporaryFolder('project');
    data = await temporaryFolder('data');
    await writeSampleProject(project.path);
    embergate = await RunningEmbergate.start({ source: project.path, dataDir: data.path });
  });

  afterAll(async () => {
    await embergate.end();
    await project.remove();
    await data.remove();
  });

  it('shows what it indexed, prints one real search and where it is served', () => {
    expect(embergate.stdout).toMatch(/completed in .* 6 files.* embedded, 0 reused/);
    expect(embergate.stdout).toContain('retryWithBackoff');
    expect(embergate.stdout).toMatch(/Embergate ready: http:\/\/127\.0\.0\.1:\d+/);
  });

  it('finds code by what it does, and says where the vector came from', async () => {
    const answer = await embergate.client.search({
      query: 'try again after an error, waiting longer each time',
    });
    expect(answer.results[0]).toMatchObject({
      path: 'src/retry.ts',
      symbol: 'retryWithBackoff',
      language: 'typescript',
    });
    expect(answer.results[0]?.text).toContain('2 ** attempt');
    expect(answer.embedding).toMatchObject({
      tier: 'cpu',
      device: 'cpu',
      degraded: false,
      reason: null,
      cached: false,
    });
    expect(answer.warnings).toEqual([]);
    expect(answer.timingsMs.total).toBeGreaterThan(answer.timingsMs.inference);
  });

  it.each(['lexical', 'dense', 'hybrid'] as const)(
    'finds a method by the words of its name in mode %s',
    async (mode) => {
      const answer = await embergate.client.search({ query: 'parse header', mode, limit: 3 });
      expect(paths(answer)).toContain('lib/parser.py');
    },
  );

  it('filters by language, by path and by repo', async () => {
    const { client } = embergate;
    const byLanguage = await client.search({ query: 'number', filter: { language: ['go'] } });
    expect(new Set(paths(byLanguage))).toEqual(new Set(['cmd/main.go']));
    const byPath = await client.search({ query: 'number', filter: { path: 'src/**' } });
    expect(paths(byPath).every((path) => path.startsWith('src/'))).toBe(true);
    expect(paths(byPath).length).toBeGreaterThan(0);
    const byRepo = await client.search({ query: 'number', filter: { repo: ['another'] } });
    expect(byRepo.results).toEqual([]);
  });

  it('never indexes what .gitignore names', async () => {
    const answer = await embergate.client.search({ query: 'launch code generated output', mode: 'lexical' });
    expect(paths(answer)).not.toContain('secret.txt');
    expect(paths(answer)).not.toContain('build/out.js');
  });

  it('embeds texts for OpenAI clients, alone and in lists, with the same vectors', async () => {
    const { client } = embergate;
    const { data: models } = await client.models();
    const model = models[0]?.id ?? '';
    const alone = await client.embeddings({ model, input: 'open a file' });
    const list = await client.embeddings({
      model,
      input: ['close a socket', 'open a file'],
      encoding_format: 'base64',
    });
    const vector = alone.data[0]?.embedding as number[];
    const bytes = Buffer.from(list.data[1]?.embedding as string, 'base64');
    const same = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    expect(vector).toHaveLength(384);
    expect(vector.reduce((sum, value, index) => sum + value * (same[index] ?? 0), 0)).toBeGreaterThan(
      0.99999,
    );
    expect(list.usage.total_tokens).toBeGreaterThan(4);
  });

  it('does the same from the command line, for people and as JSON', async () => {
    const shown = await cli('search', 'fibonacci', 'sequence');
    expect(shown).toMatchObject({ code: 0, stderr: '' });
    expect(shown.stdout).toContain('cmd/main.go');
    const asJson = await cli('search', 'fibonacci sequence', '--json', '--limit', '1');
    expect((JSON.parse(asJson.stdout) as SearchResponse).results[0]?.path).toBe('cmd/main.go');
    const status = await cli('status');
    expect(status.stdout).toMatch(/cpu\s+ready\s+closed\s+1/);
    const jobs = await cli('jobs');
    expect(jobs.stdout).toContain('completed');
    const doctor = await cli('doctor');
    expect(doctor.stdout).toMatch(/ok\s+gateway/);
  });

  it('re-embeds only what changed, and forgets what is gone', async () => {
    await writeFiles(project.path, {
      'src/cache.ts':
        '/** Keeps the most recently used entries. */\nexport class LruCache {\n  evictOldest(): void {}\n}\n',
    });
    await rm(join(project.path, 'cmd/main.go'));
    await commitAll(project.path, 'change');
    const indexed = await cli('index', project.path, '--json');
    expect(indexed.code).toBe(0);
    const job = JSON.parse(indexed.stdout) as {
      progress: { embedded: number; reused: number; removed: number };
    };
    expect(job.progress).toMatchObject({ embedded: 1 });
    expect(job.progress.removed).toBeGreaterThan(0);
    expect(job.progress.reused).toBeGreaterThan(3);
    const evict = await embergate.client.search({ query: 'evict the oldest cache entry', limit: 1 });
    expect(paths(evict)).toEqual(['src/cache.ts']);
    const fibonacci = await embergate.client.search({ query: 'fibonacci', mode: 'lexical' });
    expect(paths(fibonacci)).toEqual([]);
  });

  it('a full re-index embeds everything anew and shows every chunk once', async () => {
    const before = await embergate.client.collection('default');
    const indexed = await cli('index', project.path, '--full', '--json');
    const { progress } = JSON.parse(indexed.stdout) as { progress: { embedded: number; chunks: number } };
    expect(progress.embedded).toBe(progress.chunks);
    const after = await embergate.client.collection('default');
    expect(after.chunks).toBe(before.chunks);
    // Chunks that were made anew are still known in the next incremental run.
    const again = JSON.parse((await cli('index', project.path, '--json')).stdout) as {
      progress: { embedded: number };
    };
    expect(again.progress.embedded).toBe(0);
  });

  it('stops in order on Ctrl-C, leaves no process, and starts again without embedding anything', async () => {
    const children = await descendantsOf(embergate.pid);
    expect(children.length).toBeGreaterThanOrEqual(5); // queue, worker, its inference child, indexer, gateway
    expect(await embergate.end('SIGINT')).toBe(130);
    await eventually('all children have ended', () => children.every(({ pid }) => !isAlive(pid)), 5_000);
    embergate = await RunningEmbergate.start({ source: project.path, dataDir: data.path });
    expect(embergate.stdout).toMatch(/: 0 embedded, \d+ reused, 0 removed/);
  });
});
