import { eventually } from '@embergate/testing/eventually.ts';
import { isAlive } from '@embergate/testing/processes.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { commitAll, writeFiles, writeSampleProject } from '@embergate/testing/sample-project.ts';
import { randomBytes } from 'node:crypto';
import { access, chmod, readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { checkOut, removeOldClones, type CloneLimits } from '../src/git.ts';

let home: Awaited<ReturnType<typeof temporaryFolder>>;
let repository: string;
beforeEach(async () => {
  home = await temporaryFolder('limits');
  repository = join(home.path, 'large');
  await writeSampleProject(repository);
  await writeFiles(repository, { 'blob.bin': randomBytes(3 * 2 ** 20) });
  await commitAll(repository, 'large');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await home.remove();
});

const ROOMY = { megabytes: 100, seconds: 60 };
const clone = (limits: CloneLimits, jobId = 'j') =>
  checkOut(
    { type: 'git', url: `file://${repository}` },
    { clonesDir: join(home.path, 'clones'), jobId, signal: new AbortController().signal, limits },
  );

async function standInForGit(lines: string[]): Promise<void> {
  const bin = join(home.path, 'bin');
  await writeFiles(bin, { git: ['#!/bin/bash', ...lines].join('\n') });
  await chmod(join(bin, 'git'), 0o755);
  vi.stubEnv('PATH', `${bin}:${process.env['PATH']}`);
}

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

it('one that is stopped while git’s own children write ends them too, and is removed', async () => {
  // Its child never comes to an end.
  await standInForGit([
    'for dir; do :; done',
    `(while mkdir -p "$dir"; do : > "$dir/$RANDOM"; done 2>/dev/null) &`,
    `echo $! > ${join(home.path, 'child')}`,
    'wait',
  ]);
  await expect(clone({ megabytes: 100, seconds: 1 })).rejects.toMatchObject({ code: 'git_failed' });
  const child = Number(await readFile(join(home.path, 'child'), 'utf8'));
  await eventually('the child has ended', () => !isAlive(child));
  expect(await readdir(join(home.path, 'clones'))).toEqual([]);
});

it('a password that git repeats is in no message and in no log', async () => {
  // As versions do that leave it in the URL.
  await standInForGit([`echo "fatal: repository 'https://me:hunter2@host/x' not found" >&2`, 'exit 128']);
  const failure = await clone(ROOMY).catch((error: Error) => error);
  expect(failure).toMatchObject({
    code: 'git_failed',
    message: expect.stringContaining('https://***@host/x') as string,
  });
  expect(inspect(failure, { depth: null })).not.toContain('hunter2');
});

it('what an indexer that was killed left is removed once its job has ended, and no other clone', async () => {
  const clones = join(home.path, 'clones');
  const [ended, running] = [await clone(ROOMY, 'job-1a'), await clone(ROOMY, 'job-2b')];
  await writeFiles(clones, { 'other-program': '' });
  await removeOldClones(clones, async (jobId) => jobId === 'job-2b');
  await expect(access(ended.folder)).rejects.toThrow('ENOENT');
  expect(await readdir(clones)).toEqual([basename(running.folder), 'other-program']);
});

it('one within its bounds is there until it is removed', async () => {
  const { folder, remove } = await clone(ROOMY);
  expect(await readdir(folder)).toContain('blob.bin');
  await remove();
  expect(await readdir(join(home.path, 'clones'))).toEqual([]);
});
