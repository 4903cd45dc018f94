import { Lifecycle } from './lifecycle.ts';
import { createLogger, type Logger, type LogLevel } from './logs.ts';

/** What a supervised process tells its parent over the IPC channel. */
export type ProcessReport =
  { type: 'ready'; details: Record<string, unknown> } | { type: 'failed'; code: string; message: string };

export interface RunProcessOptions<Config extends { LOG_LEVEL: LogLevel }> {
  name: string;
  /** Reads the environment; the only place that does. */
  config: () => Config;
  start: (config: Config, context: { lifecycle: Lifecycle; log: Logger }) => Promise<object | void>;
}

const FORCED_EXIT_MS = 15_000;
/** With the parent the queue's server has gone too: there is nobody left to say goodbye to. */
const ORPHAN_EXIT_MS = 3_000;

/**
 * Runs one long-lived process: starts it, reports `ready` to a supervising parent if there is one, and stops it in
 * order on SIGTERM, SIGINT, or when the parent is gone (a parent killed with -9 must leave no orphan).
 */
export async function runProcess<Config extends { LOG_LEVEL: LogLevel }>(
  options: RunProcessOptions<Config>,
): Promise<void> {
  let config: Config;
  try {
    config = options.config();
  } catch (error) {
    fail(error);
    process.exitCode = exitCodeOf(error);
    if (process.connected) process.disconnect();
    return;
  }
  const log = createLogger(options.name, config.LOG_LEVEL);
  const lifecycle = new Lifecycle(log);
  const stop = (why: string, forcedAfterMs = FORCED_EXIT_MS): void => {
    if (lifecycle.isClosing) return;
    log.info({ why }, 'stopping');
    // The last resort: a release that waits for what is gone, or a handle that keeps the loop alive.
    setTimeout(() => process.exit(), forcedAfterMs);
    void lifecycle.close().then(() => process.exit());
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  if (process.send) process.on('disconnect', () => stop('parent gone', ORPHAN_EXIT_MS));

  try {
    const details = await options.start(config, { lifecycle, log });
    report({ type: 'ready', details: { ...details } });
  } catch (error) {
    log.debug({ err: error }, 'start failed');
    // What is stopped while it starts fails because of that.
    if (lifecycle.isClosing) return;
    fail(error);
    process.exitCode = exitCodeOf(error);
    stop('start failed');
  }
}

/** 2: what was asked for is wrong; 1: it failed. */
const exitCodeOf = (error: unknown): number =>
  error instanceof Error && 'code' in error && error.code === 'config_invalid' ? 2 : 1;

/** On stderr: code, what happened and what to do. To the parent, if there is one: the same. */
function fail(error: unknown): void {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'internal';
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${code}: ${message}\n`);
  report({ type: 'failed', code, message });
}

function report(message: ProcessReport): void {
  if (process.send && process.connected) process.send(message);
}
