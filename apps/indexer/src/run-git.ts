import { gitEnvironment } from '@embergate/ingestion/git-environment.ts';
import { maskPassword } from '@embergate/platform/mask-password.ts';
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** What a server says is passed on by git; nobody reads more of it. */
const MAX_WORDS = 64 * 1_024;

/**
 * Runs git to its end. Its children (transport, index-pack) would write on without it: when `signal` is aborted, all of them are ended.
 *
 * @throws Error with git's own words, without passwords, where it fails, cannot be started or is ended.
 */
export async function runGit(args: readonly string[], signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  // A group of its own, so that its children end with it.
  const git = spawn('git', args, {
    detached: true,
    env: gitEnvironment(),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const end = (): void => {
    try {
      if (git.pid !== undefined) process.kill(-git.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  };
  signal.addEventListener('abort', end, { once: true });
  try {
    let words = '';
    git.stderr.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(0, MAX_WORDS);
    });
    // Once all that hold its output have ended, too.
    const [code, killedBy] = (await once(git, 'close')) as [number | null, NodeJS.Signals | null];
    if (code !== 0)
      throw new Error(maskPassword(words.trim()) || `git ended with ${killedBy ?? `exit code ${code}`}`);
  } finally {
    signal.removeEventListener('abort', end);
  }
}
