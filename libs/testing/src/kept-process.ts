import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from './eventually.ts';
import { signalIfThere } from './frozen-processes.ts';

export type AppCommand = 'gateway' | 'worker' | 'indexer';

export interface KeptProcessOptions {
  /** What reports and log files call it. */
  name: string;
  command: AppCommand;
  /** All of its environment. */
  env: NodeJS.ProcessEnv;
  logDir: string;
  /** From its end to its next start. */
  restartDelayMs: number;
}

/** What a process of ours says over its channel when it is ready; platform's ProcessReport. */
interface ReadyMessage {
  type: string;
  details?: Record<string, unknown>;
}

const CLI = fileURLToPath(new URL('../../../apps/cli/bin/embergate.mjs', import.meta.url));
const STOP_TIMEOUT_MS = 20_000;

/**
 * One process of a cluster, started as the images start it (`embergate worker`, ...) and kept as Kubernetes keeps it:
 * whatever ends it, it is started again.
 *
 *   down --bringUp()--> starting --ready--> ready --ended--> waiting --restartDelayMs--> starting
 *                          '-------ended-----------------------^
 *   any --takeDown()--> down
 */
export class KeptProcess {
  readonly name: string;
  /** Times it was started. */
  starts = 0;
  readonly #options: KeptProcessOptions;
  #child: ChildProcess | undefined;
  #details: Record<string, unknown> | undefined;
  #readyAt = -Infinity;
  #wanted = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: KeptProcessOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** What it said when it was ready: a gateway its `url`, a worker its `workerId`. */
  get details(): Record<string, unknown> {
    return this.#details ?? {};
  }

  /** When it last said that it is ready, as performance.now(). */
  get readyAt(): number {
    return this.#readyAt;
  }

  get isReady(): boolean {
    return this.#details !== undefined;
  }

  /** @throws when it is not running. */
  get pid(): number {
    const pid = this.#running()?.pid;
    if (pid === undefined) throw new Error(`${this.name} is not running`);
    return pid;
  }

  get isRunning(): boolean {
    return this.#running() !== undefined;
  }

  /** Starts it, and from now on again after every end. Resolves when it has been spawned. */
  bringUp(): void {
    this.#wanted = true;
    if (!this.isRunning) this.#spawn();
  }

  /** @throws when it does not say within `timeoutMs` that it is ready. */
  async whenReady(timeoutMs = 120_000): Promise<void> {
    await eventually(`${this.name} is ready (see ${this.#logPath})`, () => this.isReady, timeoutMs);
  }

  /** Kills it, and waits until its keeper has started it again. */
  async kill(): Promise<void> {
    const { starts } = this;
    signalIfThere(this.pid, 'SIGKILL');
    await eventually(`${this.name} is started again`, () => this.starts > starts);
  }

  /** Ends it and lets it stay down; a process that does not heed the signal is killed after 20 s. */
  async takeDown(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#timer);
    const child = this.#running();
    if (!child) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(killer);
  }

  get #logPath(): string {
    return join(this.#options.logDir, `${this.name}.log`);
  }

  #running(): ChildProcess | undefined {
    const child = this.#child;
    return child && child.exitCode === null && child.signalCode === null ? child : undefined;
  }

  #spawn(): void {
    this.starts += 1;
    const log = openSync(this.#logPath, 'a');
    // A group of its own: Ctrl-C is for the test, which then ends its processes in order.
    const child = spawn(process.execPath, [CLI, this.#options.command], {
      env: this.#options.env,
      detached: true,
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    this.#child = child;
    child.on('message', (message: ReadyMessage) => {
      if (message.type !== 'ready') return;
      this.#details = message.details ?? {};
      this.#readyAt = performance.now();
    });
    child.on('exit', () => {
      this.#details = undefined;
      if (this.#wanted) this.#timer = setTimeout(() => this.#spawn(), this.#options.restartDelayMs);
    });
  }
}
