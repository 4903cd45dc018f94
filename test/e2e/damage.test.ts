import type { IndexJob } from '@embergate/contracts/index-job.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { descendantsOf, isAlive, type ProcessInfo } from '@embergate/testing/processes.ts';
import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { SAMPLE_FILES, writeFiles } from '@embergate/testing/sample-project.ts';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cp, mkdir, open, readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';

type Folder = Awaited<ReturnType<typeof temporaryFolder>>;

describe('a model file that has been damaged on the disk', () => {
  let home: Folder;
  let env: { MODEL_DIR: string; DATA_DIR: string; GATEWAY_PORT: string };

  beforeAll(async () => {
    home = await temporaryFolder('damaged');
    env = { MODEL_DIR: join(home.path, 'models'), DATA_DIR: join(home.path, 'data'), GATEWAY_PORT: '0' };
    await cp(inject('modelDir'), env.MODEL_DIR, { recursive: true });
    const folder = join(env.MODEL_DIR, 'all-MiniLM-L6-v2');
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

  const queueServer = async (): Promise<ProcessInfo | undefined> =>
    (await descendantsOf(embergate.pid)).find(({ command }) => /^\S*(valkey|redis)-server /.test(command));
  const answeredBy = async (tier: string) => {
    const { embedding } = await embergate.client.search({ query: 'retry with backoff' });
    return embedding.tier === tier && embedding;
  };

  it('killed with -9: searches are lexical, it is started again, and the model answers again by itself', async () => {
    const { client } = embergate;
    const [jobBefore] = await client.indexJobs();
    const before = await queueServer();
    process.kill(before?.pid ?? -1, 'SIGKILL');
    const startedAt = performance.now();
    const answer = await client.search({ query: 'retry with backoff' });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(answer.embedding).toMatchObject({ tier: 'none', degraded: true, reason: 'queue_down' });
    expect(answer.results[0]?.path).toBe('src/retry.ts');
    await eventually('the model answers again', () => answeredBy('cpu'), 10_000);
    expect((await queueServer())?.pid).not.toBe(before?.pid);
    // The jobs were on the disk, and new ones are taken.
    expect((await client.indexJobs()).map(({ id }) => id)).toEqual([jobBefore?.id]);
    const source = { type: 'directory', path: join(home.path, 'project') } as const;
    let job = await client.createIndexJob({ source, repo: 'again' });
    for await (job of client.watchIndexJob(job.id));
    expect(job).toMatchObject({ state: 'completed', progress: { embedded: 0 } });
  });

  it('frozen for longer than a worker may be silent: lexical at once, and it is the queue that is blamed', async () => {
    const server = await queueServer();
    process.kill(server?.pid ?? -1, 'SIGSTOP');
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
      process.kill(server?.pid ?? -1, 'SIGCONT');
    }
    await eventually('the model answers again', () => answeredBy('cpu'), 10_000);
  });
});

const mount = (folder: string, size: string) =>
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder], { stdio: 'ignore' });
const unmount = (folder: string) => execFileSync('umount', [folder], { stdio: 'ignore' });
/** A disk that is small enough to be filled can only be made by root, and not in every container. */
const canMount = ((): boolean => {
  const folder = mkdtempSync(join(tmpdir(), 'embergate-mount-'));
  try {
    mount(folder, '1m');
    unmount(folder);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
})();

describe.skipIf(!canMount)('the disk is full (on a small one, which only root can mount)', () => {
  let home: Folder;
  let embergate: RunningEmbergate;
  let processes: ProcessInfo[];
  const dataDir = () => join(home.path, 'data');
  const storeDir = () => join(dataDir(), 'lancedb');
  const project = () => join(home.path, 'project');

  beforeAll(async () => {
    home = await temporaryFolder('full');
    await writeFiles(project(), SAMPLE_FILES);
    const functions = Array.from({ length: 400 }, (_, n) => {
      return [`pkg/f${n}.py`, `def compute_${n}(values):\n    return sum(values) * ${n} + offset_${n}\n`];
    });
    await writeFiles(join(home.path, 'large'), Object.fromEntries(functions) as Record<string, string>);
    await mkdir(dataDir());
    mount(dataDir(), '32m');
    await mkdir(storeDir());
    mount(storeDir(), '16m');
    embergate = await RunningEmbergate.start({ source: project(), dataDir: dataDir() });
    processes = await descendantsOf(embergate.pid);
  });
  afterAll(async () => {
    await embergate?.end();
    unmount(storeDir());
    unmount(dataDir());
    await home.remove();
  });

  /** Takes all space of a disk but this much. @returns what gives it back. */
  async function fill(folder: string, leftBytes: number): Promise<() => Promise<void>> {
    const { bavail, bsize } = await statfs(folder);
    await writeFile(join(folder, 'ballast'), Buffer.alloc(bavail * bsize - leftBytes));
    return () => rm(join(folder, 'ballast'));
  }
  async function index(repo: string): Promise<IndexJob> {
    const { client } = embergate;
    let job = await client.createIndexJob({
      source: { type: 'directory', path: join(home.path, 'large') },
      repo,
    });
    for await (job of client.watchIndexJob(job.id));
    return job;
  }
  const search = () => embergate.client.search({ query: 'retry with backoff' });
  const chunks = async () => (await embergate.client.collection('default')).chunks;

  it('the store’s: the job fails and says so, nothing of it is visible, and with space the next one completes', async () => {
    const before = await chunks();
    const free = await fill(storeDir(), 128 * 1024);
    const failed = await index('large');
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'storage_full' } });
    expect(failed.error?.message).toContain(storeDir());
    expect(await chunks()).toBe(before);
    expect((await search()).embedding.tier).toBe('cpu');
    await free();
    expect(await index('large')).toMatchObject({ state: 'completed', progress: { chunks: 400 } });
    expect(await chunks()).toBe(before + 400);
  });

  it('the whole data folder’s: new jobs are refused, searches go on, and with space everything does', async () => {
    const free = await fill(dataDir(), 0);
    await eventually('no job is taken that could not be kept', () =>
      index('late').then(
        () => false,
        (error: { code?: string }) => error.code === 'storage_full',
      ),
    );
    expect((await search()).results[0]?.path).toBe('src/retry.ts');
    await free();
    await eventually('the model answers again', async () => (await search()).embedding.tier === 'cpu');
    expect(await index('later')).toMatchObject({ state: 'completed', progress: { embedded: 0 } });
    expect(processes.every(({ pid }) => isAlive(pid))).toBe(true);
  });
});
