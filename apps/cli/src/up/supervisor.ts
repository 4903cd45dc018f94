import { AppError, ERROR_KINDS, type ErrorCode } from '@embergate/contracts/errors.ts';
import type { ProcessReport } from '@embergate/platform/process.ts';
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { APP_MAINS, type AppName } from './app-mains.ts';
import { LEAN_MEMORY } from './lean-memory.ts';
import { LogFile } from './log-file.ts';
import { RestartPace, restartNotice } from './restart-pace.ts';

export interface SupervisorOptions {
  name: AppName;
  /** What people and the log file know it by; default: its name. */
  label?: string;
  env: NodeJS.ProcessEnv;
  logDir: string;
  /** Told when the process ends unasked and is started again. */
  onRestart: (message: string) => void;
}

const START_TIMEOUT_MS = 300_000;
const STOP_TIMEOUT_MS = 20_000;

/**
 * One child process of `embergate up`.
 *
 *   starting --ready--> running --ended unasked--> waiting --delay--> starting
 *   starting --failed--> (start() rejects)          any --stop()--> stopped
 *
 * A process group of its own keeps Ctrl-C in the terminal away from it: children stop in order, not all at once.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #log: LogFile;
  readonly #pace = new RestartPace();
  #child: ChildProcess | undefined;
  #stopping = false;
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#log = new LogFile(join(options.logDir, `${options.label ?? options.name}.log`));
  }

  /** @throws AppError with the code that the process itself gave, or `process_failed`. */
  static async start(
    options: SupervisorOptions,
  ): Promise<{ supervisor: Supervisor; details: Record<string, unknown> }> {
    const supervisor = new Supervisor(options);
    try {
      return { supervisor, details: await supervisor.#launch() };
    } catch (error) {
      await supervisor.stop();
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child && child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const killer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(killer);
    }
    this.#log.close();
  }

  #launch(): Promise<Record<string, unknown>> {
    const { name, env } = this.#options;
    const startedAt = performance.now();
    const lean = name === 'indexer' ? LEAN_MEMORY : { env: {}, nodeOptions: [] };
    const child = spawn(process.execPath, [...lean.nodeOptions, APP_MAINS[name]], {
      env: { ...lean.env, ...env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => this.#log.write(chunk));
    return new Promise((resolve, reject) => {
      let ready = false;
      const late = setTimeout(
        () => reject(failed(name, 'process_failed', 'it did not get ready in time')),
        START_TIMEOUT_MS,
      );
      child.on('message', (message: ProcessReport) => {
        clearTimeout(late);
        ready = message.type === 'ready';
        if (message.type === 'ready') resolve(message.details);
        else reject(failed(name, message.code, message.message));
      });
      child.on('exit', (code, signal) => {
        clearTimeout(late);
        reject(
          failed(name, 'process_failed', `it ended at start (${signal ?? code}); see ${this.#log.path}`),
        );
        if (ready) this.#restartLater(signal ?? String(code), performance.now() - startedAt);
      });
    });
  }

  #restartLater(how: string, ranMs: number): void {
    if (this.#stopping) return;
    const delay = this.#pace.nextDelayMs(ranMs);
    const { name, onRestart } = this.#options;
    onRestart(restartNotice(name, how, delay));
    this.#timer = setTimeout(() => {
      this.#launch().then(
        () => onRestart(`${name} is back`),
        (error: Error) => {
          onRestart(error.message);
          this.#restartLater('start failed', 0);
        },
      );
    }, delay);
  }
}

function failed(name: AppName, code: string, message: string): AppError {
  const known = code in ERROR_KINDS ? (code as ErrorCode) : 'process_failed';
  return new AppError(known, known === 'process_failed' ? `The ${name} did not start: ${message}` : message);
}
