import { EmbergateClient } from '@embergate/client/client.ts';
import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { SAMPLE_FILES, writeFiles } from '@embergate/testing/sample-project.ts';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const WRONG_KEY = 'eg_this-key-was-never-made-000000000';

describe('a gateway with API keys lets in who has one, for what it is made for', () => {
  let home: { path: string; remove: () => Promise<void> };
  let env: { API_KEYS_FILE: string };
  let embergate: RunningEmbergate;
  const keys = { searcher: '', indexer: '', admin: '' };

  const projectPath = () => join(home.path, 'project');
  const as = (apiKey?: string) => new EmbergateClient({ url: embergate.url, apiKey });
  const indexing = () => ({ source: { type: 'directory', path: projectPath() } }) as const;

  async function createKey(name: string, ...scopes: string[]): Promise<string> {
    const made = await runEmbergate(['keys', 'create', name, '--scopes', ...scopes], { env });
    expect(made.code).toBe(0);
    return made.stdout.trim();
  }
  const start = (options: { source?: string; key?: string } = {}) =>
    RunningEmbergate.start({
      dataDir: join(home.path, 'data'),
      env: { ...env, ...(options.key !== undefined && { EMBERGATE_API_KEY: options.key }) },
      ...(options.source !== undefined && { source: options.source }),
    });

  beforeAll(async () => {
    home = await temporaryFolder('keys');
    env = { API_KEYS_FILE: join(home.path, 'keys.json') };
    await writeFiles(projectPath(), SAMPLE_FILES);
    keys.searcher = await createKey('searcher', 'search');
    keys.indexer = await createKey('indexer', 'search', 'index');
    keys.admin = await createKey('admin', 'search', 'index', 'admin');
    embergate = await start({ source: projectPath(), key: keys.indexer });
  });

  afterAll(async () => {
    await embergate?.end();
    await home?.remove();
  });

  it('`keys create` shows a key once; the file holds only its hash and nobody else may read it', async () => {
    const text = await readFile(env.API_KEYS_FILE, 'utf8');
    for (const key of Object.values(keys)) {
      expect(key).toMatch(/^eg_\S{32}$/);
      expect(text).not.toContain(key);
    }
    expect((await stat(env.API_KEYS_FILE)).mode & 0o077).toBe(0);
    const listed = await runEmbergate(['keys', 'list', '--json'], { env });
    expect(JSON.parse(listed.stdout)).toEqual([
      { name: 'searcher', scopes: ['search'] },
      { name: 'indexer', scopes: ['search', 'index'] },
      { name: 'admin', scopes: ['search', 'index', 'admin'] },
    ]);
    const twice = await runEmbergate(['keys', 'create', 'admin'], { env });
    expect(twice).toMatchObject({ code: 2, stderr: expect.stringContaining('already') as string });
  });

  it.each([
    ['no key', undefined],
    ['a key that was never made', WRONG_KEY],
  ])('%s: 401 on everything that tells or does something', async (_what, key) => {
    const refused = { code: 'unauthorized' };
    await expect(as(key).search({ query: 'retry' })).rejects.toMatchObject(refused);
    await expect(as(key).embeddings({ model: 'all-MiniLM-L6-v2', input: 'a' })).rejects.toMatchObject(
      refused,
    );
    await expect(as(key).models()).rejects.toMatchObject(refused);
    await expect(as(key).createIndexJob(indexing())).rejects.toMatchObject(refused);
    await expect(as(key).indexJobs()).rejects.toMatchObject(refused);
    await expect(as(key).collections()).rejects.toMatchObject(refused);
    await expect(as(key).deleteCollection('default')).rejects.toMatchObject(refused);
    await expect(as(key).cluster()).rejects.toMatchObject(refused);
    const response = await fetch(`${embergate.url}/v1/cluster/events`);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
  });

  it('a key is only read as a bearer token, not from another scheme or the address', async () => {
    const { searcher } = keys;
    const basic = `Basic ${Buffer.from(`user:${searcher}`).toString('base64')}`;
    for (const authorization of [basic, searcher, `Bearer ${searcher}x`, 'Bearer ', `Bearer ${searcher} x`]) {
      const response = await fetch(`${embergate.url}/v1/models?key=${searcher}`, {
        headers: { authorization },
      });
      expect(response.status).toBe(401);
    }
    const headers = { authorization: `bearer ${searcher}` };
    expect((await fetch(`${embergate.url}/v1/models`, { headers })).status).toBe(200);
  });

  it('a key to search with searches, and neither indexes nor deletes: 403 that names the scope', async () => {
    const client = as(keys.searcher);
    const { results } = await client.search({ query: 'retry with backoff' });
    expect(results[0]?.path).toBe('src/retry.ts');
    await expect(client.createIndexJob(indexing())).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringMatching(/"searcher" lacks the scope index/) as string,
    });
    await expect(client.deleteCollection('default')).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringMatching(/scope admin/) as string,
    });
    expect((await client.collection('default')).chunks).toBeGreaterThan(0);
  });

  it('a key to index with indexes and does not delete; the admin’s deletes', async () => {
    const indexed = await runEmbergate(['index', projectPath(), '-c', 'other', '--json'], {
      env: { EMBERGATE_URL: embergate.url, EMBERGATE_API_KEY: keys.indexer },
    });
    expect(JSON.parse(indexed.stdout)).toMatchObject({ state: 'completed', collection: 'other' });
    await expect(as(keys.indexer).deleteCollection('other')).rejects.toMatchObject({ code: 'forbidden' });
    await as(keys.admin).deleteCollection('other');
    await expect(as(keys.admin).collection('other')).rejects.toMatchObject({ code: 'collection_not_found' });
  });

  it('the command line says what is missing, and takes the key from a flag or the environment', async () => {
    const address = { EMBERGATE_URL: embergate.url };
    const without = await runEmbergate(['search', 'fibonacci'], { env: address });
    expect(without.code).toBe(1);
    expect(without.stderr).toContain('unauthorized');
    const flag = await runEmbergate(['search', 'fibonacci', '--api-key', keys.searcher], { env: address });
    expect(flag.stdout).toContain('cmd/main.go');
  });

  it.each(['/livez', '/readyz', '/metrics', '/openapi.json'])(
    '%s is open, for who has no key',
    async (path) => {
      expect((await fetch(embergate.url + path)).status).toBe(200);
    },
  );

  it('a revoked key is refused after a restart; the others stay', async () => {
    const revoked = await runEmbergate(['keys', 'revoke', 'searcher'], { env });
    expect(revoked).toMatchObject({ code: 0, stdout: expect.stringContaining('Restart') as string });
    await embergate.end();
    embergate = await start();
    await expect(as(keys.searcher).search({ query: 'retry' })).rejects.toMatchObject({
      code: 'unauthorized',
    });
    expect((await as(keys.admin).search({ query: 'retry' })).results[0]?.path).toBe('src/retry.ts');
  });

  it('no key, right or wrong, is in any log or in what was printed', async () => {
    const folder = join(home.path, 'data', 'logs');
    const names = await readdir(folder);
    expect(names).toContain('gateway.log');
    const logs = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
    const everything = [...logs, embergate.output].join('\n');
    expect(everything).toContain('"code":"unauthorized"');
    for (const key of [...Object.values(keys), WRONG_KEY]) expect(everything).not.toContain(key);
  });
});
