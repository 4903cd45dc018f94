/**
 * Freezes processes and lets them go on, and knows which are frozen. A frozen process cannot end by itself: whatever
 * becomes of this one, all of them go on when it exits.
 */
export class FrozenProcesses {
  readonly #pids = new Set<number>();
  readonly #onExit = (): void => this.thawAll();

  constructor() {
    process.once('exit', this.#onExit);
  }

  /** @throws the system's error (ESRCH) when there is no such process. */
  freeze(pid: number): void {
    assertOwn(pid);
    process.kill(pid, 'SIGSTOP');
    this.#pids.add(pid);
  }

  /** Does nothing where the process has ended meanwhile. */
  thaw(pid: number): void {
    assertOwn(pid);
    this.#pids.delete(pid);
    signalIfThere(pid, 'SIGCONT');
  }

  thawAll(): void {
    for (const pid of [...this.#pids]) this.thaw(pid);
  }

  close(): void {
    this.thawAll();
    process.off('exit', this.#onExit);
  }
}

/** @returns false when the process has ended. */
export function signalIfThere(pid: number, signal: NodeJS.Signals): boolean {
  assertOwn(pid);
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Zero and below stand for groups of processes, and minus one for all of the machine. */
function assertOwn(pid: number): void {
  if (!Number.isInteger(pid) || pid < 2 || pid === process.pid)
    throw new Error(`no process to signal: ${pid}`);
}
