import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { isRunning } from '@embergate/platform/is-running.ts';
import { refused } from './partial-file.ts';

/*
 *   none --write, if it isn't there--> held --touched every 5 s--> released (removed)
 *                                        \--its process is gone, or 30 s without a touch--> taken over
 *
 * The time is the watcher's own, and only changes of the file's are looked at: clocks of other hosts don't matter.
 */
const LOCK_FILE = '.pull.lock';
const TOUCH_MS = 5_000;
const DEAD_AFTER_MS = 30_000;
const LOOK_MS = 250;

export interface LockOptions {
  signal?: AbortSignal | undefined;
  /** Told once, when somebody else is at work in the folder. */
  onWait?: ((holder: string) => void) | undefined;
  /** How long a lock of another host, or of a number that is in use again, may stay untouched. Default 30,000. */
  deadAfterMs?: number | undefined;
}

/**
 * One process at a time works in a folder, whichever host it is on. Errors: `storage_full`, the signal's reason while it waits,
 * and those of the work.
 */
export async function withFolderLock<T>(
  folder: string,
  { signal, onWait, deadAfterMs = DEAD_AFTER_MS }: LockOptions,
  work: () => Promise<T>,
): Promise<T> {
  const lock = join(folder, LOCK_FILE);
  const own = `process ${process.pid} on ${hostname()} ${randomBytes(4).toString('hex')}`;
  const watched = { holder: '', touched: -1, since: 0 };
  let told = false;
  while (!(await take(lock, own).catch(refused(folder)))) {
    const holder = await readFile(lock, 'utf8').catch(() => '');
    const touched = await stat(lock).then(
      ({ mtimeMs }) => mtimeMs,
      () => -1,
    );
    if (!told && holder !== '') onWait?.(holder.split(' ').slice(0, -1).join(' '));
    told ||= holder !== '';
    if (watched.holder !== holder || watched.touched !== touched)
      Object.assign(watched, { holder, touched, since: performance.now() });
    if (isGone(holder) || performance.now() - watched.since > deadAfterMs) await remove(lock, holder);
    else await wait(LOOK_MS, undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
  const touching = setInterval(() => {
    const now = new Date();
    utimes(lock, now, now).catch(() => undefined);
  }, TOUCH_MS);
  try {
    return await work();
  } finally {
    clearInterval(touching);
    await remove(lock, own);
  }
}

const take = (lock: string, own: string): Promise<boolean> =>
  writeFile(lock, own, { flag: 'wx' }).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false;
      throw error;
    },
  );

/** Known only of this host's processes. A number may be another process's by now: then the touches tell. */
function isGone(holder: string): boolean {
  const [, pid, host] = /^process (\d+) on (\S+) /.exec(holder) ?? [];
  return host === hostname() && !isRunning(Number(pid));
}

/** Removes the lock of that holder, and no other's: it is moved aside first, which only one process can do. */
async function remove(lock: string, holder: string): Promise<void> {
  const aside = `${lock}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await rename(lock, aside);
  } catch {
    return;
  }
  if ((await readFile(aside, 'utf8').catch(() => holder)) !== holder)
    await link(aside, lock).catch(() => undefined);
  await rm(aside, { force: true });
}
