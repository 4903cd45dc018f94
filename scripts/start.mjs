// `npm start`: on a fresh clone with any Node >= 18.
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { install, PROJECT_NODE, ROOT } from './install.mjs';

install({ development: false });

const args = [join(ROOT, 'apps', 'cli', 'bin', 'embergate.mjs'), 'up', ...process.argv.slice(2)];
const child = spawn(PROJECT_NODE, args, { stdio: 'inherit' });

// Ctrl-C in a terminal reaches both processes: this one waits for the other to stop in order.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => child.kill('SIGTERM'));
// npm killed with -9 tells nobody, and the shell between it and this process lives on: both are watched.
const ancestors = [process.ppid, parentOf(process.ppid)].filter((pid) => pid > 1);
setInterval(() => ancestors.every(isAlive) || child.kill('SIGTERM'), 1_000).unref();
child.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)));

function parentOf(pid) {
  const { stdout } = spawnSync('ps', ['-o', 'ppid=', '-p', String(pid)], { encoding: 'utf8' });
  return Number(stdout?.trim() ?? 0);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
