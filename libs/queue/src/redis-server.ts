import { AppError } from '@embergate/contracts/errors.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { connectRedis } from './connection.ts';

/** `valkey-server` or `redis-server` on the PATH, or null. */
export async function findRedisServer(path: string | undefined): Promise<string | null> {
  for (const name of ['valkey-server', 'redis-server']) {
    for (const folder of (path ?? '').split(delimiter).filter(Boolean)) {
      const candidate = join(folder, name);
      const runnable = await access(candidate, constants.X_OK).then(
        () => true,
        () => false,
      );
      if (runnable) return candidate;
    }
  }
  return null;
}

/** A server that hangs must not keep the process that started it. */
const STOP_TIMEOUT_MS = 5_000;

export interface RedisServerOptions {
  binary: string;
  /** Where the queue survives a restart. */
  dataDir: string;
  log: Logger;
  /** Default: a free one. */
  port?: number;
}

export interface RedisServer {
  url: string;
  process: ChildProcess;
  stop: () => Promise<void>;
}

/**
 * sh holds the server and the read end of a pipe from this process: when this process dies, however it dies, the pipe
 * closes and the server is told to stop. Redis itself knows no parent to watch.
 */
const WATCHED = `
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -TERM "$server" 2>/dev/null; } &
exec 3<&-
wait "$server"
`;

/**
 * Starts a Redis or Valkey server on loopback that ends with this process.
 * @throws AppError `process_failed` when it does not answer within ten seconds.
 */
export async function startRedisServer({
  binary,
  dataDir,
  log,
  port,
}: RedisServerOptions): Promise<RedisServer> {
  await mkdir(dataDir, { recursive: true });
  const chosen = port ?? (await freePort());
  const settings = {
    bind: '127.0.0.1',
    port: String(chosen),
    dir: dataDir,
    // Jobs survive a restart; at most the last second is lost when the machine itself dies.
    appendonly: 'yes',
    appendfsync: 'everysec',
    save: '',
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
    loglevel: 'warning',
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  // A group of its own: Ctrl-C in the terminal must reach the processes that still need Redis first.
  const child = spawn('/bin/sh', ['-c', WATCHED, 'sh', binary, ...flags], {
    stdio: ['pipe', 'ignore', 'pipe'],
    detached: true,
  });
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2_000)));
  const exited = once(child, 'exit');
  const url = `redis://127.0.0.1:${chosen}/0`;
  const stop = async (): Promise<void> => {
    child.stdin?.destroy();
    if (child.exitCode !== null || child.signalCode !== null) return;
    const killer = setTimeout(() => killGroup(child), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(killer);
  };
  const died = exited.then(() => {
    throw new AppError('process_failed', `${binary} ended at start: ${complaint.trim() || 'no message'}`);
  });
  died.catch(() => undefined);
  try {
    const redis = await Promise.race([connectRedis({ url, patience: 'patient', log }), died]);
    redis.disconnect();
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, process: child, stop };
}

/** The server and its guard. */
function killGroup({ pid }: ChildProcess): void {
  // Below two stand the system's own groups, and minus one means every process of the machine.
  if (pid !== undefined && pid > 1) process.kill(-pid, 'SIGKILL');
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}
