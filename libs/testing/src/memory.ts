import { readFile } from 'node:fs/promises';

/** Resident memory of a process in MB, now and at its peak. Linux only. */
export async function memoryOf(pid: number): Promise<{ nowMb: number; peakMb: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const megabytes = (field: string): number =>
    Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? NaN) / 1_024;
  return { nowMb: Math.round(megabytes('VmRSS')), peakMb: Math.round(megabytes('VmHWM')) };
}
