import { readdir, readFile, writeFile } from 'node:fs/promises';
import { constants, setPriority } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

const { PRIORITY_BELOW_NORMAL } = constants.priority;
const ATTEMPTS = 10;

/**
 * Lets other processes go first: this one takes what processor time they leave, and a share where they leave none. The threads
 * of a model wait for each other, so what interrupts one of them costs all (docs/benchmarks.md, "Indexing"). Between containers the shares
 * that they were given decide, and not this.
 *
 * Never throws: where it is not allowed, all stays as it was.
 *
 * @param niceness 1 to 19; beside a busy process 5 gets a quarter of a core, 10 a tenth.
 */
export async function runInBackground(niceness: number = PRIORITY_BELOW_NORMAL): Promise<void> {
  // On Linux each thread has a priority of its own; later ones have that of the thread that starts them.
  const threads = await readdir('/proc/self/task').catch(() => [String(process.pid)]);
  for (const thread of threads) {
    try {
      setPriority(Number(thread), niceness);
    } catch {
      // It has ended, or a sandbox does not allow it.
    }
  }
  await lowerSession(niceness).catch(() => undefined);
}

/**
 * Linux gives sessions equal shares, whatever the priorities of their processes (autogroups, sched(7)). A supervised process has one of its
 * own; where it is started by hand, the session is the user's terminal, and stays as it is.
 */
async function lowerSession(niceness: number): Promise<void> {
  const stat = await readFile('/proc/self/stat', 'utf8');
  // After the name, which may hold anything: state, parent, process group, session.
  const session = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3];
  if (session !== String(process.pid)) return;
  for (let attempt = 1; ; attempt++) {
    try {
      return await writeFile('/proc/self/autogroup', String(niceness));
    } catch (error) {
      // Without privileges there is one such change in a tenth of a second, of all processes together.
      if (attempt === ATTEMPTS || (error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await delay(100 + 100 * Math.random());
    }
  }
}
