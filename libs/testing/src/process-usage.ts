import { readFile } from 'node:fs/promises';

/** Resident memory of a process in MB, now and at its peak, and what of it is no mapped file. Linux only. */
export async function memoryOf(pid: number): Promise<{ nowMb: number; peakMb: number; ownMb: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const megabytes = (field: string): number =>
    Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? NaN) / 1_024;
  return {
    nowMb: Math.round(megabytes('VmRSS')),
    peakMb: Math.round(megabytes('VmHWM')),
    ownMb: Math.round(megabytes('RssAnon')),
  };
}

/** Seconds of processor time that a process has used so far, all threads. Linux only. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it, in ticks of 10 ms.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
