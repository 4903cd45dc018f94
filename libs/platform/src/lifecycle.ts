import type { Logger } from './logs.ts';

/**
 * Start-up order and shutdown order are one list: what is acquired registers its release, and releases run in reverse.
 *
 *   open --acquire()*--> open --close()--> closing --all released--> closed
 */
export class Lifecycle {
  readonly #log: Logger;
  readonly #releases: { name: string; release: () => unknown }[] = [];
  #closing: Promise<void> | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  get isClosing(): boolean {
    return this.#closing !== undefined;
  }

  /** Registers how something just acquired is given back. `release` may wait for a drain; it has ten seconds. */
  onClose(name: string, release: () => unknown): void {
    this.#releases.push({ name, release });
  }

  /** Idempotent. A release that fails or hangs is logged, and the others still run. */
  close(): Promise<void> {
    this.#closing ??= this.#releaseAll();
    return this.#closing;
  }

  async #releaseAll(): Promise<void> {
    for (let entry = this.#releases.pop(); entry; entry = this.#releases.pop()) {
      const { name, release } = entry;
      let timer: NodeJS.Timeout | undefined;
      const tooLong = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(
          () => reject(new Error(`${name} took more than ${RELEASE_TIMEOUT_MS} ms to close`)),
          RELEASE_TIMEOUT_MS,
        );
      });
      try {
        await Promise.race([Promise.resolve().then(release), tooLong]);
      } catch (error) {
        this.#log.warn({ err: error, release: name }, 'release failed');
      } finally {
        clearTimeout(timer);
      }
    }
  }
}

const RELEASE_TIMEOUT_MS = 10_000;
