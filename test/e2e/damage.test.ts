import { eventually } from '@embergate/testing/eventually.ts';
import { descendantsOf, type ProcessInfo } from '@embergate/testing/processes.ts';
import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { SAMPLE_FILES, writeFiles } from '@embergate/testing/sample-project.ts';
import { cp, open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';

type Folder = Awaited<ReturnType<typeof temporaryFolder>>;

describe('a model file that has been damaged on the disk', () => {
  let home: Folder;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    home = await temporaryFolder('damaged');
    const models = join(home.path, 'models');
    const queueServer = dirname(inject('redisServer')); // or it would be fetched to where the models are
    env = {
      MODEL_DIR: models,
      DATA_DIR: join(home.path, 'data'),
      GATEWAY_PORT: '0',
      PATH: `${queueServer}:${process.env['PATH']}`,
    };
    await cp(inject('modelDir'), models, { recursive: true });
    const folder = join(models, 'all-MiniLM-L6-v2');
    const [revision = ''] = await readdir(folder);
    const file = await open(join(folder, revision, 'model.safetensors'), 'r+');
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, 50_000_000);
    await file.write(Buffer.from([byte[0]! ^ 0x10]), 0, 1, 50_000_000);
    await file.close();
  });
  afterAll(() => home.remove());

  const damage =
    /model\.safetensors is not .* sha256 is [0-9a-f]{64}, it should be [0-9a-f]{64}.*embergate model pull/s;

  it('one bit is enough: nothing starts, and the file, both sums and the way out are said', async () => {
    const { code, stderr, stdout } = await runEmbergate(['up', '--no-index'], { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(damage);
    expect(stderr).toContain('checksum_mismatch');
    expect(stdout).not.toContain('ready');
  });

  it('`doctor` finds it too, and finds nothing wrong with the model that is whole', async () => {
    const modelOf = async (settings: NodeJS.ProcessEnv) => {
      const { code, stdout } = await runEmbergate(['doctor', '--json'], { env: settings });
      const findings = JSON.parse(stdout) as { check: string; ok: boolean; detail: string }[];
      return { code, ...findings.find(({ check }) => check === 'model') };
    };
    const damaged = await modelOf(env);
    expect(damaged).toMatchObject({ code: 1, ok: false, detail: expect.stringMatching(damage) as string });
    expect(await modelOf({ ...env, MODEL_DIR: inject('modelDir') })).toMatchObject({ ok: true });
  });
});

describe('the queue’s server dies', () => {
  let home: Folder;
  let embergate: RunningEmbergate;

  beforeAll(async () => {
    home = await temporaryFolder('queue');
    await writeFiles(join(home.path, 'project'), SAMPLE_FILES);
    embergate = await RunningEmbergate.start({
      source: join(home.path, 'project'),
      dataDir: join(home.path, 'data'),
    });
  });
  afterAll(async () => {
    await embergate.end();
    await home.remove();
  });

  const queueServer = (): Promise<ProcessInfo> =>
    eventually('the queue’s server runs', async () =>
      (await descendantsOf(embergate.pid)).find(({ command }) => /^\S*(valkey|redis)-server /.test(command)),
    );
  let asked = 0;
  // A new text each time: what was asked before is answered from the cache, whatever is away.
  const answeredBy = async (tier: string) => {
    const { embedding } = await embergate.client.search({ query: `retry with backoff ${asked++}` });
    return embedding.tier === tier && embedding;
  };

  it('what was asked before is answered with its vector while the queue is away', async () => {
    const { client } = embergate;
    const query = 'asked before';
    await eventually(
      'the model answers',
      async () => (await client.search({ query })).embedding.tier === 'cpu',
    );
    const server = await queueServer();
    process.kill(server.pid, 'SIGSTOP');
    try {
      const { embedding } = await client.search({ query });
      expect(embedding).toMatchObject({ tier: 'cpu', cached: true, degraded: false });
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
    await eventually('the model answers again', () => answeredBy('cpu'), 10_000);
  });

  it('killed with -9: searches are lexical, it is started again, and the model answers again by itself', async () => {
    const { client } = embergate;
    const [jobBefore] = await client.indexJobs();
    const before = await queueServer();
    process.kill(before.pid, 'SIGKILL');
    const startedAt = performance.now();
    const answer = await client.search({ query: 'retry with backoff' });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(answer.embedding).toMatchObject({ tier: 'none', degraded: true, reason: 'queue_down' });
    expect(answer.results[0]?.path).toBe('src/retry.ts');
    await eventually('the model answers again', () => answeredBy('cpu'), 10_000);
    expect((await queueServer()).pid).not.toBe(before.pid);
    // The jobs were on the disk, and new ones are taken.
    expect((await client.indexJobs()).map(({ id }) => id)).toEqual([jobBefore?.id]);
    const source = { type: 'directory', path: join(home.path, 'project') } as const;
    let job = await client.createIndexJob({ source, repo: 'again' });
    for await (job of client.watchIndexJob(job.id));
    expect(job).toMatchObject({ state: 'completed', progress: { embedded: 0 } });
  });

  it('frozen for longer than a worker may be silent: lexical at once, and it is the queue that is blamed', async () => {
    const server = await queueServer();
    process.kill(server.pid, 'SIGSTOP');
    try {
      await eventually('searches no longer wait for it', async () => {
        const startedAt = performance.now();
        const embedding = await answeredBy('none');
        expect(embedding).toMatchObject({ reason: 'queue_down' });
        return performance.now() - startedAt < 500;
      });
      await expect(embergate.client.search({ query: 'x', degradation: 'forbid' })).rejects.toMatchObject({
        code: 'queue_down',
      });
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
    await eventually('the model answers again', () => answeredBy('cpu'), 10_000);
  });
});
