import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const MODULE = fileURLToPath(new URL('../src/background-priority.ts', import.meta.url));
const SCRIPT = `
  const { runInBackground } = await import(process.argv[1]);
  const { existsSync, readFileSync, readdirSync } = await import('node:fs');
  const { getPriority } = await import('node:os');
  const file = '/proc/self/autogroup';
  const nice = () => (existsSync(file) ? Number(/nice (-?\\d+)/.exec(readFileSync(file, 'utf8'))?.[1]) : 0);
  const before = nice();
  await runInBackground();
  const threads = readdirSync('/proc/self/task').map((thread) => getPriority(Number(thread)));
  console.log(JSON.stringify({ lowest: Math.min(...threads), session: nice() - before }));
`;

async function lowered(detached: boolean): Promise<unknown> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, MODULE], {
    detached,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(await text(child.stdout));
}

test.runIf(process.platform === 'linux')(
  'a process in the background lets others go first with all of its threads, and with its session where that is its own',
  async () => {
    expect(await lowered(false)).toEqual({ lowest: 10, session: 0 });
    // Kernels without autogroups have nothing more to lower.
    const session = existsSync('/proc/self/autogroup') ? 10 : 0;
    expect(await lowered(true)).toEqual({ lowest: 10, session });
  },
);
