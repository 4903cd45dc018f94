import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { gitEnvironment } from './git-environment.ts';

const run = promisify(execFile);

/** The commit a folder is at, or null where it is none of git's. */
export async function headCommit(folder: string): Promise<string | null> {
  try {
    const args = ['-C', folder, 'rev-parse', 'HEAD'];
    const { stdout } = await run('git', args, { timeout: 10_000, env: gitEnvironment() });
    return stdout.trim() || null;
  } catch {
    return null;
  }
}
