import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const MODULE = fileURLToPath(new URL('../src/background-priority.ts', import.meta.url));
const SCRIPT = `
  const { runInBackground } = await import(process.argv[1]);
  const { readFileSync, readdirSync } = await import('node:fs');
  const { getPriority } = await import('node:os');
  const session = () => {
    try {
      return readFileSync('/proc/self/autogroup', 'utf8').trim();
    } catch {
      return '';
    }
  };
  const before = session();
  await runInBackground();
  const threads = readdirSync('/proc/self/task').map((thread) => getPriority(Number(thread)));
  console.log(JSON.stringify({ threads, before, after: session() }));
`;

/** What a process and its session had before and after; the session's is empty where it has none, or the kernel knows none. */
interface Lowered {
  threads: number[];
  before: string;
  after: string;
}

async function lowered(detached: boolean): Promise<Lowered> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, MODULE], {
    detached,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(await text(child.stdout)) as Lowered;
}

test.runIf(process.platform === 'linux')(
  'a process in the background lets others go first with all of its threads, and with its session where that is its own',
  async () => {
    const inOthersSession = await lowered(false);
    expect(Math.min(...inOthersSession.threads)).toBe(10);
    expect(inOthersSession.after).toBe(inOthersSession.before);

    const inItsOwn = await lowered(true);
    expect(Math.min(...inItsOwn.threads)).toBe(10);
    expect(inItsOwn.after).toBe(inItsOwn.before.replace(/nice -?\d+$/, 'nice 10'));
  },
);
