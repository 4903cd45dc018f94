import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const MODULE = fileURLToPath(new URL('../src/background-priority.ts', import.meta.url));
const SCRIPT = `
  const { runInBackground } = await import(process.argv[1]);
  const { readFileSync, readdirSync } = await import('node:fs');
  const { getPriority } = await import('node:os');
  const nice = () => Number(/nice (-?\\d+)/.exec(readFileSync('/proc/self/autogroup', 'utf8'))?.[1]);
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
    expect(await lowered(false)).toMatchObject({ lowest: 10, session: 0 });
    const own = (await lowered(true)) as { lowest: number; session: number | null };
    expect(own.lowest).toBe(10);
    // Null where the kernel has no autogroups.
    expect([10, null]).toContain(own.session);
  },
);
