import {
  startRedisServer,
  type RedisServer,
  type RedisServerOptions,
} from '@embergate/queue/redis-server.ts';
import { RestartPace, restartNotice } from './restart-pace.ts';

interface QueueServerOptions extends Omit<RedisServerOptions, 'port'> {
  /** Told when the server ends unasked and is started again. */
  onRestart: (message: string) => void;
}

/**
 * The queue's server of `embergate up`, at one URL for as long as `up` runs. Its jobs are on the disk, and everybody who
 * talks to it reconnects: an end of it is an outage of a second.
 *
 *   running --ended unasked--> waiting --delay--> starting --answers--> running
 *                                 ^-----failed------'                   any --stop()--> stopped
 */
export class QueueServer {
  readonly url: string;
  readonly #options: QueueServerOptions;
  readonly #pace = new RestartPace();
  #server: RedisServer;
  #starting: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  private constructor(server: RedisServer, options: QueueServerOptions) {
    this.#server = server;
    this.url = server.url;
    this.#options = options;
    this.#watch();
  }

  /** @throws AppError `process_failed` when it does not answer. */
  static async start(options: QueueServerOptions): Promise<QueueServer> {
    return new QueueServer(await startRedisServer(options), options);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    await this.#starting;
    await this.#server.stop();
  }

  #watch(): void {
    const startedAt = performance.now();
    const server = this.#server;
    server.process.once('exit', (code, signal) => {
      // Lets go of what kept watch over the process that is gone.
      void server.stop();
      this.#restartLater(signal ?? String(code), performance.now() - startedAt);
    });
  }

  #restartLater(how: string, ranMs: number): void {
    if (this.#stopping) return;
    const delay = this.#pace.nextDelayMs(ranMs);
    this.#options.onRestart(restartNotice('queue', how, delay));
    this.#timer = setTimeout(() => {
      this.#starting = this.#startAgain();
    }, delay);
  }

  async #startAgain(): Promise<void> {
    const { onRestart } = this.#options;
    try {
      this.#server = await startRedisServer({ ...this.#options, port: Number(new URL(this.url).port) });
      this.#watch();
      onRestart('queue is back');
    } catch (error) {
      onRestart((error as Error).message);
      this.#restartLater('start failed', 0);
    }
  }
}
