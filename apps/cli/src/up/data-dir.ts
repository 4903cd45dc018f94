import { AppError } from '@embergate/contracts/errors.ts';
import type { Lifecycle } from '@embergate/platform/lifecycle.ts';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

const LOCK_FILE = 'up.pid';

/**
 * Makes DATA_DIR and claims it: two `up` on one folder would run two queues over one store.
 * @returns its absolute path.
 * @throws AppError `storage_full` when it cannot be written, `process_failed` when another Embergate uses it.
 */
export async function prepareDataDir(setting: string, lifecycle: Lifecycle): Promise<string> {
  const folder = resolve(setting);
  const lock = join(folder, LOCK_FILE);
  try {
    await mkdir(join(folder, 'logs'), { recursive: true });
    await claim(lock);
  } catch (error) {
    if (error instanceof AppError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new AppError(
      'storage_full',
      `DATA_DIR ${folder} cannot be written (${code}). Set DATA_DIR to a folder with space that you may write.`,
      {
        cause: error,
      },
    );
  }
  lifecycle.onClose('data folder', () => rm(lock, { force: true }));
  return folder;
}

async function claim(lock: string): Promise<void> {
  try {
    await writeFile(lock, String(process.pid), { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const pid = Number(await readFile(lock, 'utf8').catch(() => ''));
    if (isAlive(pid)) {
      throw new AppError(
        'process_failed',
        `Another Embergate (process ${pid}) uses ${lock.slice(0, -LOCK_FILE.length - 1)}. Stop it, or set DATA_DIR to another folder.`,
      );
    }
    await writeFile(lock, String(process.pid));
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
