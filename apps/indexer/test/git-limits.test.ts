import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { commitAll, writeFiles, writeSampleProject } from '@embergate/testing/sample-project.ts';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkOut, type CloneLimits } from '../src/git.ts';

let home: Awaited<ReturnType<typeof temporaryFolder>>;
let repository: string;
beforeEach(async () => {
  home = await temporaryFolder('limits');
  repository = join(home.path, 'large');
  await writeSampleProject(repository);
  await writeFiles(repository, { 'blob.bin': randomBytes(3 * 2 ** 20) });
  await commitAll(repository, 'large');
});
afterEach(() => home.remove());

const clone = (limits: CloneLimits) =>
  checkOut(
    { type: 'git', url: `file://${repository}` },
    { clonesDir: join(home.path, 'clones'), jobId: 'j', signal: new AbortController().signal, limits },
  );

it('a clone that grows beyond what it may is stopped and removed', async () => {
  await expect(clone({ megabytes: 2, seconds: 60 })).rejects.toMatchObject({ code: 'source_too_large' });
  expect(await readdir(join(home.path, 'clones'))).toEqual([]);
});

it('one that takes too long is stopped and removed', async () => {
  await expect(clone({ megabytes: 100, seconds: 0.001 })).rejects.toMatchObject({
    code: 'git_failed',
    message: expect.stringContaining('GIT_CLONE_TIMEOUT_S') as string,
  });
  expect(await readdir(join(home.path, 'clones'))).toEqual([]);
});

it('one within its bounds is there until it is removed', async () => {
  const { folder, remove } = await clone({ megabytes: 100, seconds: 60 });
  expect(await readdir(folder)).toContain('blob.bin');
  await remove();
  expect(await readdir(join(home.path, 'clones'))).toEqual([]);
});
