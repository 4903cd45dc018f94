import { BoundedWork } from './bounded-work.ts';

/** A chunk whose text the model refuses. */
export interface RefusedChunk {
  key: string;
  path: string;
  reason: string;
}

/** Batches that are embedded ahead at a time: as many as keep a model busy. */
const BATCHES_AHEAD = 2;
/** Further ones that wait: as many as one write without vectors makes. */
const BATCHES_WAITING = 4;

/**
 * What is embedded while the first reading of a source still goes on, behind the rows that it writes without vectors: a model that waited
 * for the end of that reading would be idle. The reading never waits for it: what comes while enough is under way is left to the second one.
 */
export class EmbedAhead {
  readonly #work = new BoundedWork(BATCHES_AHEAD);
  readonly #refused: RefusedChunk[] = [];
  #tookAll = true;

  /** False where the source has to be read once more. */
  get tookAll(): boolean {
    return this.#tookAll;
  }

  /**
   * @param embed writes the rows of some chunks once more, with vectors, and says which were refused.
   * @returns false where enough is under way, and the chunks are left to the second reading.
   */
  offer(embed: () => Promise<RefusedChunk[]>): boolean {
    const work = async (): Promise<void> => void this.#refused.push(...(await embed()));
    const isTaken = this.#work.offer(work, { mostWaiting: BATCHES_WAITING });
    if (!isTaken) this.leave();
    return isTaken;
  }

  /** Something is left to the second reading. */
  leave(): void {
    this.#tookAll = false;
  }

  /** Throws the first failure of what was taken: there is no use in embedding the rest. */
  throwFailure(): void {
    this.#work.throwFailure();
  }

  /** Waits for all that was taken. @returns what was refused of it. */
  async finish(): Promise<readonly RefusedChunk[]> {
    await this.#work.finish();
    return this.#refused;
  }

  /** Waits for all that was taken, whether it fails or not. */
  settled(): Promise<void> {
    return this.#work.settled();
  }
}
