import type { IndexJob } from '@embergate/contracts/index-job.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { descendantsOf, isAlive, type ProcessInfo } from '@embergate/testing/processes.ts';
import { RunningEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { SAMPLE_FILES, writeFiles } from '@embergate/testing/sample-project.ts';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

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
  let home: Awaited<ReturnType<typeof temporaryFolder>>;
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

  /** Takes all space of a disk but this much, or less where others take it meanwhile. @returns what gives it back. */
  async function fill(folder: string, leftBytes: number): Promise<() => Promise<void>> {
    const { bavail, bsize } = await statfs(folder);
    await writeFile(join(folder, 'ballast'), Buffer.alloc(bavail * bsize - leftBytes)).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOSPC') throw error;
      },
    );
    return () => rm(join(folder, 'ballast'));
  }
  const create = (repo: string) =>
    embergate.client.createIndexJob({ source: { type: 'directory', path: join(home.path, 'large') }, repo });
  async function ended(job: IndexJob): Promise<IndexJob> {
    let last = job;
    for await (last of embergate.client.watchIndexJob(job.id));
    return last;
  }
  const index = async (repo: string) => ended(await create(repo));
  let asked = 0;
  // A new text each time: what was asked before needs no model.
  const search = () => embergate.client.search({ query: `retry with backoff ${asked++}` });
  const chunks = async () => (await embergate.client.collection('default')).chunks;

  it('the store’s: the job waits and says what for, nothing of it is visible, and with space it completes', async () => {
    const before = await chunks();
    const free = await fill(storeDir(), 128 * 1024);
    const job = await create('large');
    const waiting = await eventually('the job waits', async () => {
      const now = await embergate.client.indexJob(job.id);
      return now.waitingFor === null ? null : now;
    });
    expect(waiting).toMatchObject({ state: 'running', error: null });
    expect(waiting.waitingFor).toMatch(/vector store.*disk full.*DATA_DIR/);
    expect(await chunks()).toBe(before);
    expect((await search()).embedding.tier).toBe('cpu');
    await free();
    expect(await ended(job)).toMatchObject({
      state: 'completed',
      progress: { chunks: 400 },
      waitingFor: null,
    });
    expect(await chunks()).toBe(before + 400);
  });

  it('the whole data folder’s: new jobs are refused, searches go on, and with space everything does', async () => {
    const free = await fill(dataDir(), 0);
    const taken: IndexJob[] = [];
    try {
      // The queue finds out with its first write.
      await eventually('no job is taken that could not be kept', () =>
        create(`late-${taken.length}`).then(
          (job) => void taken.push(job),
          (error: { code?: string }) => error.code === 'storage_full',
        ),
      );
      // More than the logs have room for; nobody may end or wait for that.
      const wrong = () => embergate.client.search({ query: 'a', collection: 'nowhere' });
      await Promise.allSettled(Array.from({ length: 100 }, wrong));
      const answer = await search();
      expect(answer.embedding.tier).toBe('none');
      expect(answer.results[0]?.path).toBe('src/retry.ts');
    } finally {
      await free();
    }
    await eventually('the model answers again', async () => (await search()).embedding.tier === 'cpu');
    for (const job of taken) expect(await ended(job)).toMatchObject({ state: 'completed', error: null });
    expect(await index('later')).toMatchObject({ state: 'completed', progress: { embedded: 0 } });
    expect(processes.every(({ pid }) => isAlive(pid))).toBe(true);
  });
});
