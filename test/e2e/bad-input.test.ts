import type { IndexJob } from '@embergate/contracts/index-job.ts';
import { isEnded } from '@embergate/contracts/index-job.ts';
import { RunningEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { SAMPLE_FILES, writeFiles } from '@embergate/testing/sample-project.ts';
import { execFileSync } from 'node:child_process';
import { open, symlink } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

describe('bad input gets a clear error and loses nothing', () => {
  let project: { path: string; remove: () => Promise<void> };
  let embergate: RunningEmbergate;

  beforeAll(async () => {
    project = await temporaryFolder('project');
    await writeFiles(project.path, SAMPLE_FILES);
    embergate = await RunningEmbergate.start({ source: project.path });
  });

  afterAll(async () => {
    await embergate.dispose();
    await project.remove();
  });

  async function post(path: string, body: string | Buffer, headers: Record<string, string> = {}) {
    const response = await fetch(embergate.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : new Uint8Array(body),
    });
    const problem = (await response.json()) as Record<string, unknown>;
    return { status: response.status, type: response.headers.get('content-type'), problem };
  }
  const search = (body: unknown) => post('/v1/search', JSON.stringify(body));

  async function index(source: object, options: object = {}): Promise<IndexJob> {
    const { id } = await embergate.client.createIndexJob({ source, ...options } as never);
    for await (const job of embergate.client.watchIndexJob(id)) if (isEnded(job.state)) return job;
    throw new Error('the job never ended');
  }

  it.each([
    ['an empty query', { query: '' }, 'query'],
    ['a blank query', { query: ' \n\t' }, 'query'],
    ['a query that is no text', { query: 7 }, 'query'],
    ['no query', {}, 'query'],
    ['limit 0', { query: 'a', limit: 0 }, 'limit'],
    ['limit 10,000', { query: 'a', limit: 10_000 }, 'limit'],
    ['a field nobody knows', { query: 'a', topK: 3 }, 'topK'],
    ['a mode nobody knows', { query: 'a', mode: 'magic' }, 'mode'],
    ['a collection name with a path in it', { query: 'a', collection: '../etc' }, 'collection'],
    ['a list', [], 'object'],
  ])('%s: 400, naming the field', async (_what, body, named) => {
    const { status, type, problem } = await search(body);
    expect(status).toBe(400);
    expect(type).toContain('application/problem+json');
    expect(problem).toMatchObject({ code: 'invalid_request', status: 400 });
    expect(problem['detail']).toContain(named);
    expect(problem['requestId']).toBeTruthy();
  });

  it('a query of 1 MB: 413', async () => {
    const { status, problem } = await search({ query: 'word '.repeat(200_000) });
    expect(status).toBe(413);
    expect(problem).toMatchObject({ code: 'payload_too_large' });
  });

  it('a query of 100 KB: 400, naming the limit', async () => {
    const { status, problem } = await search({ query: 'word '.repeat(20_000) });
    expect(status).toBe(400);
    expect(problem['detail']).toContain('16384');
  });

  it('a query longer than the model reads: an answer, and a warning', async () => {
    const answer = await embergate.client.search({ query: 'retry a call with backoff '.repeat(100) });
    expect(answer.results.length).toBeGreaterThan(0);
    expect(answer.warnings.map(({ code }) => code)).toContain('query_truncated');
  });

  it('bytes that are not UTF-8: 400, not an answer to something else', async () => {
    const body = Buffer.concat([Buffer.from('{"query":"caf'), Buffer.from([0xe9]), Buffer.from('"}')]);
    const { status, problem } = await post('/v1/search', body);
    expect(status).toBe(400);
    expect(problem).toMatchObject({ code: 'invalid_utf8' });
  });

  it('broken JSON: 400', async () => {
    const { status, problem } = await post('/v1/search', '{"query": ');
    expect(status).toBe(400);
    expect(problem).toMatchObject({ code: 'invalid_json' });
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])(
    'a body of type %s, as a form of a web page sends: 415',
    async (type) => {
      const { status } = await post('/v1/search', '{"query":"a"}', { 'content-type': type });
      expect(status).toBe(415);
    },
  );

  it('a page of another origin: 403; this gateway’s own page: an answer', async () => {
    const foreign = await post('/v1/search', '{"query":"a"}', { origin: 'https://example.com' });
    expect(foreign.problem).toMatchObject({ status: 403, code: 'forbidden_origin' });
    const own = await post('/v1/search', '{"query":"a"}', { origin: embergate.url });
    expect(own.status).toBe(200);
  });

  it('a DNS name that was rebound to this machine: 403', async () => {
    const { port } = new URL(embergate.url);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      request(
        { host: '127.0.0.1', port, path: '/v1/models', headers: { host: 'evil.example:80' } },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      )
        .on('error', reject)
        .end();
    });
    expect(status).toBe(403);
  });

  it('a collection that does not exist: 404', async () => {
    const { status, problem } = await search({ query: 'a', collection: 'nowhere' });
    expect(status).toBe(404);
    expect(problem).toMatchObject({ code: 'collection_not_found' });
    expect(problem['detail']).toContain('nowhere');
  });

  it('a route that does not exist: 404; a wrong method: 405', async () => {
    expect((await post('/v1/serach', '{}')).problem).toMatchObject({ status: 404, code: 'route_not_found' });
    expect((await post('/v1/models', '{}')).problem).toMatchObject({
      status: 405,
      code: 'method_not_allowed',
    });
  });

  it('an OpenAI client asking for another model: 404 in both of the forms it may read', async () => {
    const { problem } = await post(
      '/v1/embeddings',
      JSON.stringify({ model: 'text-embedding-3-small', input: 'a' }),
    );
    expect(problem).toMatchObject({
      status: 404,
      code: 'model_not_found',
      error: { code: 'model_not_found' },
    });
  });

  it('an OpenAI client asking for fewer dimensions than the model was trained to be cut to: 400', async () => {
    const { problem } = await post(
      '/v1/embeddings',
      JSON.stringify({ model: 'all-MiniLM-L6-v2', input: 'a', dimensions: 128 }),
    );
    expect(problem).toMatchObject({ status: 400 });
    expect(problem['detail']).toContain('Matryoshka');
  });

  it('a folder outside INDEX_ROOTS: 403, also through a link inside them, and whether it exists or not', async () => {
    const { client } = embergate;
    await symlink('/etc', join(project.path, 'link-to-etc'));
    for (const path of [
      '/etc',
      '/no-such-folder',
      join(project.path, '../../etc'),
      join(project.path, 'link-to-etc'),
    ]) {
      await expect(client.createIndexJob({ source: { type: 'directory', path } })).rejects.toMatchObject({
        code: 'source_not_allowed',
      });
    }
  });

  it('a folder that the gateway cannot see: says so, and names the git source', async () => {
    const path = join(project.path, 'not-there');
    await expect(
      embergate.client.createIndexJob({ source: { type: 'directory', path } }),
    ).rejects.toMatchObject({
      code: 'source_not_found',
      message: expect.stringContaining('git source') as string,
    });
  });

  it('git URLs that would run a program or read a file elsewhere: refused', async () => {
    const { client } = embergate;
    for (const url of ['ext::sh -c touch% /tmp/x', 'file:///etc', '-oProxyCommand=x']) {
      await expect(client.createIndexJob({ source: { type: 'git', url } })).rejects.toMatchObject({
        code: expect.stringMatching(/source_not_allowed|invalid_request/) as string,
      });
    }
  });

  it('files that cannot be indexed are skipped, counted and named; the others are found', async () => {
    const odd = await temporaryFolder('odd');
    await writeFiles(odd.path, {
      'good.py': 'def find_me():\n    """Return the answer to everything."""\n    return 42\n',
      'one-line.js': `const data = "${'x'.repeat(5_000_000)}";\n`,
      'latin1.txt': Buffer.from([0x63, 0x61, 0x66, 0xe9, 0x0a]),
      'image.bin': Buffer.from([1, 2, 0, 3]),
    });
    const huge = await open(join(odd.path, 'huge.txt'), 'w');
    await huge.truncate(200 * 1024 * 1024);
    await huge.close();
    await symlink('.', join(odd.path, 'cycle'));
    execFileSync('mkfifo', [join(odd.path, 'pipe')]);
    const job = await index({ type: 'directory', path: odd.path }, { repo: 'odd' });
    expect(job.state).toBe('completed');
    const skipped = Object.fromEntries(job.skippedFiles.map(({ path, reason }) => [path, reason]));
    expect(Object.keys(skipped).sort()).toEqual([
      'cycle',
      'huge.txt',
      'image.bin',
      'latin1.txt',
      'one-line.js',
      'pipe',
    ]);
    expect(job.progress.skipped).toBe(6);
    const found = await embergate.client.search({ query: 'answer to everything', filter: { repo: ['odd'] } });
    expect(found.results[0]?.path).toBe('good.py');
    await odd.remove();
  });

  it('a second job for the same repo while one runs: 409 with the id of the first', async () => {
    const slow = await temporaryFolder('slow');
    const files = Array.from(
      { length: 300 },
      (_, n) => [`f${n}.py`, `def f${n}(x):\n    return "${n} ".join(x)\n`] as const,
    );
    await writeFiles(slow.path, Object.fromEntries(files));
    const { client } = embergate;
    const source = { type: 'directory', path: slow.path } as const;
    const first = await client.createIndexJob({ source, repo: 'slow' });
    await expect(client.createIndexJob({ source, repo: 'slow' })).rejects.toMatchObject({
      code: 'job_running',
      details: { jobId: first.id },
    });
    await client.cancelIndexJob(first.id);
    let last: IndexJob | undefined;
    for await (last of client.watchIndexJob(first.id));
    expect(last?.state).toBe('cancelled');
    // Nothing of it is left, and the repo can be indexed again.
    const { repos } = await client.collection('default');
    expect(repos.map(({ name }) => name)).not.toContain('slow');
    const again = await index(source, { repo: 'slow' });
    expect(again).toMatchObject({ state: 'completed', progress: { files: 300 } });
    await slow.remove();
  });

  it('hostile words in queries and filters are only words', async () => {
    const { client } = embergate;
    const words = `'; DROP TABLE chunks; -- " \\ %00 \u{1F600} ${'('.repeat(200)} AND OR NOT * :`;
    const answer = await client.search({
      query: words,
      filter: { repo: [`x' OR '1'='1`], path: `**/[a-z'"]*` },
    });
    expect(answer.results).toEqual([]);
    expect((await client.search({ query: words, mode: 'lexical' })).embedding.tier).toBe('none');
  });
});
