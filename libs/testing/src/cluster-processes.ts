import { readdir, readFile } from 'node:fs/promises';
import { descendantsOf, type ProcessInfo } from './processes.ts';

/**
 * Every process that works in a folder: that has it in its environment or its arguments, whoever its parent is by now.
 * Linux only.
 */
export async function processesIn(folder: string): Promise<ProcessInfo[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map((pid) => describe(pid, folder)));
  return found.filter((process) => process !== null);
}

/** Those of {@link processesIn} that do not descend from this process any more. */
export async function orphansIn(folder: string): Promise<ProcessInfo[]> {
  const [all, own] = await Promise.all([processesIn(folder), descendantsOf(process.pid)]);
  const kept = new Set([process.pid, ...own.map(({ pid }) => pid)]);
  return all.filter(({ pid }) => !kept.has(pid));
}

/** Null for what is not in the folder, is another user's, or has ended. */
async function describe(pid: number, folder: string): Promise<ProcessInfo | null> {
  if (pid === process.pid) return null;
  try {
    const [environment, args, status] = await Promise.all(
      ['environ', 'cmdline', 'status'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8')),
    );
    if (!environment?.includes(folder) && !args?.includes(folder)) return null;
    if (/^State:\s+Z/m.test(status ?? '')) return null;
    const parent = Number(/^PPid:\s+(\d+)/m.exec(status ?? '')?.[1]);
    return { pid, parent, command: (args ?? '').replaceAll('\0', ' ').trim() };
  } catch {
    return null;
  }
}
