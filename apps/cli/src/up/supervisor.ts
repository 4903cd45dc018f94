import { AppError, ERROR_KINDS, type ErrorCode } from '@embergate/contracts/errors.ts';
import type { ProcessReport } from '@embergate/platform/process.ts';
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { APP_MAINS, type AppName } from './app-mains.ts';

export interface SupervisorOptions {
  name: AppName;
  env: NodeJS.ProcessEnv;
  logDir: string;
  /** Told when the process ends unasked and is started again. */
  onRestart: (message: string) => void;
}

const START_TIMEOUT_MS = 300_000;
const STOP_TIMEOUT_MS = 20_000;
const RESTART_DELAYS_MS = [0, 1_000, 5_000, 15_000];
/** A process that ran this long was well; its next end starts the delays anew. */
const WELL_AFTER_MS = 60_000;
const LOG_MAX_BYTES = 10 * 1024 * 1024;

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
  readonly #log: WriteStream;
  #child: ChildProcess | undefined;
  #stopping = false;
  #restarts = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: SupervisorOptions, log: WriteStream) {
    this.#options = options;
    this.#log = log;
  }

  /** @throws AppError with the code that the process itself gave, or `process_failed`. */
  static async start(
    options: SupervisorOptions,
  ): Promise<{ supervisor: Supervisor; details: Record<string, unknown> }> {
    const logFile = join(options.logDir, `${options.name}.log`);
    const size = await stat(logFile).then(
      ({ size: bytes }) => bytes,
      () => 0,
    );
    if (size > LOG_MAX_BYTES) await rename(logFile, `${logFile}.1`);
    const supervisor = new Supervisor(options, createWriteStream(logFile, { flags: 'a' }));
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
    this.#log.end();
  }

  #launch(): Promise<Record<string, unknown>> {
    const { name, env } = this.#options;
    const startedAt = performance.now();
    const child = spawn(process.execPath, [APP_MAINS[name]], {
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream?.pipe(this.#log, { end: false });
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
          failed(
            name,
            'process_failed',
            `it ended at start (${signal ?? code}); see ${this.#log.path.toString()}`,
          ),
        );
        if (ready) this.#restartLater(signal ?? String(code), performance.now() - startedAt);
      });
    });
  }

  #restartLater(how: string, ranMs: number): void {
    if (this.#stopping) return;
    if (ranMs > WELL_AFTER_MS) this.#restarts = 0;
    const delay = RESTART_DELAYS_MS[Math.min(this.#restarts, RESTART_DELAYS_MS.length - 1)] ?? 0;
    this.#restarts += 1;
    const { name, onRestart } = this.#options;
    onRestart(`${name} ended (${how}); starting it again${delay > 0 ? ` in ${delay / 1_000} s` : ''}`);
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
