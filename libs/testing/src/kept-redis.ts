import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { signalIfThere } from './frozen-processes.ts';
import { stablePort } from './free-port.ts';
import { descendantsOf } from './processes.ts';

/** A server that runs: libs/queue's startRedisServer makes one. `process` is it, or the shell that watches over it. */
export interface RedisHandle {
  url: string;
  process: ChildProcess;
  stop: () => Promise<void>;
}

/** Starts a server on this port and what lies in `dataDir`; resolves when it answers. */
export type StartRedis = (where: { dataDir: string; port: number }) => Promise<RedisHandle>;

/** A Redis or Valkey server that can be killed and started again with the same port and data. */
export class KeptRedis {
  readonly #startAgain: () => Promise<RedisHandle>;
  #server: RedisHandle;

  private constructor(server: RedisHandle, startAgain: () => Promise<RedisHandle>) {
    this.#server = server;
    this.#startAgain = startAgain;
  }

  static async start(start: StartRedis, dataDir: string): Promise<KeptRedis> {
    const where = { dataDir, port: await stablePort() };
    return new KeptRedis(await start(where), () => start(where));
  }

  get url(): string {
    return this.#server.url;
  }

  /** The server itself, not the shell that watches over it. */
  async pid(): Promise<number> {
    const { pid: shell } = this.#server.process;
    const children = shell === undefined ? [] : await descendantsOf(shell);
    const server = children.find(({ command }) => /^\S*(valkey|redis)-server /.test(command));
    if (!server) throw new Error('the Redis server is not running');
    return server.pid;
  }

  /** Kills the server and starts it on what it had written; where that failed, as it took too long, it may be tried again. @returns when it answers again. */
  async restart(): Promise<void> {
    const { process } = this.#server;
    if (process.exitCode === null && process.signalCode === null) {
      const pid = await this.pid();
      const exited = once(process, 'exit');
      signalIfThere(pid, 'SIGKILL');
      await exited;
      await this.#server.stop();
    }
    this.#server = await this.#startAgain();
  }

  async stop(): Promise<void> {
    await this.#server.stop();
  }
}
