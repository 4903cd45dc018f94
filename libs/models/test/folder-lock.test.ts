import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { spawnSync } from 'node:child_process';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setInterval } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { withFolderLock } from '../src/folder-lock.ts';

const ELSEWHERE = 'process 7 on another-host 0a0b0c0d';
let home: Awaited<ReturnType<typeof temporaryFolder>>;
let lock: string;
beforeEach(async () => {
  home = await temporaryFolder('lock');
  lock = join(home.path, '.pull.lock');
});
afterEach(() => home.remove());

it('of several that want a folder, one works at a time, and each has its turn', async () => {
  let working = 0;
  const most: number[] = [];
  const work = () =>
    withFolderLock(home.path, {}, async () => {
      most.push(++working);
      await readdir(home.path);
      working--;
    });
  await Promise.all([work(), work(), work()]);
  expect(most).toEqual([1, 1, 1]);
  expect(await readdir(home.path)).toEqual([]);
});

it('work that fails gives the folder back', async () => {
  const failing = withFolderLock(home.path, {}, () => Promise.reject(new Error('no')));
  await expect(failing).rejects.toThrow('no');
  expect(await withFolderLock(home.path, {}, () => Promise.resolve('yes'))).toBe('yes');
});

it('the lock of another host is taken over when nobody touches it any more', async () => {
  await writeFile(lock, ELSEWHERE);
  const holders: string[] = [];
  const options = { deadAfterMs: 300, onWait: (holder: string) => holders.push(holder) };
  expect(await withFolderLock(home.path, options, () => Promise.resolve('mine'))).toBe('mine');
  expect(holders).toEqual(['process 7 on another-host']);
});

it(
  'the lock of a process of this host that has ended is taken over at once',
  { timeout: 10_000 },
  async () => {
    const { pid } = spawnSync(process.execPath, ['--version']);
    await writeFile(lock, `process ${pid} on ${hostname()} 0a0b0c0d`);
    expect(await withFolderLock(home.path, { deadAfterMs: 60_000 }, () => Promise.resolve('mine'))).toBe(
      'mine',
    );
  },
);

it('who was away so long that another took over leaves the other its lock', async () => {
  await withFolderLock(home.path, {}, () => writeFile(lock, ELSEWHERE));
  expect(await readFile(lock, 'utf8')).toBe(ELSEWHERE);
  expect(await readdir(home.path)).toEqual(['.pull.lock']);
});

it('one that is touched is not', async () => {
  await writeFile(lock, ELSEWHERE);
  const waiting = new AbortController();
  const taken = withFolderLock(home.path, { deadAfterMs: 600, signal: waiting.signal }, () =>
    Promise.resolve(),
  );
  const outcome = taken.then(
    () => 'taken',
    () => 'waited',
  );
  let touches = 0;
  for await (const _ of setInterval(50)) {
    await utimes(lock, new Date(), new Date());
    if (++touches === 30) break;
  }
  waiting.abort(new Error('enough'));
  expect(await outcome).toBe('waited');
});
