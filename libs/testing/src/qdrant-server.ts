import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { stablePort } from './free-port.ts';

export interface QdrantServerOptions {
  /** Path of the program. */
  binary: string;
  /** Holds its storage; stays when it ends. */
  folder: string;
  env?: NodeJS.ProcessEnv;
}

const READY_TIMEOUT_MS = 60_000;

/** A real Qdrant on loopback that can be killed and started again on the same port and storage. */
export class QdrantServer {
  readonly url: string;
  readonly #options: QdrantServerOptions;
  readonly #port: number;
  #child: ChildProcess | undefined;

  private constructor(options: QdrantServerOptions, port: number) {
    this.#options = options;
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Resolves when it answers. */
  static async start(options: QdrantServerOptions): Promise<QdrantServer> {
    const server = new QdrantServer(options, await stablePort());
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const { binary, folder, env } = this.#options;
    await mkdir(folder, { recursive: true });
    this.#child = spawn(binary, ['--disable-telemetry'], {
      cwd: folder,
      stdio: 'ignore',
      env: {
        QDRANT__SERVICE__HOST: '127.0.0.1',
        QDRANT__SERVICE__HTTP_PORT: String(this.#port),
        QDRANT__SERVICE__GRPC_PORT: String(await stablePort()),
        QDRANT__STORAGE__STORAGE_PATH: join(folder, 'storage'),
        QDRANT__STORAGE__SNAPSHOTS_PATH: join(folder, 'snapshots'),
        QDRANT__LOG_LEVEL: 'WARN',
        ...env,
      },
    });
    const answers = async (): Promise<boolean> => (await fetch(`${this.url}/readyz`)).ok;
    await eventually('Qdrant is ready', answers, READY_TIMEOUT_MS);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
}
