/** Works on a few things at a time. The first failure is thrown by what is called next; nothing new is begun after it. */
export class BoundedWork {
  readonly #most: number;
  readonly #underWay = new Set<Promise<void>>();
  #waiting: (() => Promise<void>)[] = [];
  #failure: { error: unknown } | null = null;

  constructor(most: number) {
    this.#most = most;
  }

  /** Begins, and waits only while too much is under way. */
  async begin(work: () => Promise<void>): Promise<void> {
    this.throwFailure();
    this.#start(work);
    while (this.#underWay.size >= this.#most) await Promise.race(this.#underWay);
    this.throwFailure();
  }

  /** Begins, now or in its turn. @returns false where as much waits as may, or something has failed. */
  offer(work: () => Promise<void>, { mostWaiting }: { mostWaiting: number }): boolean {
    if (this.#failure) return false;
    if (this.#underWay.size < this.#most) this.#start(work);
    else if (this.#waiting.length < mostWaiting) this.#waiting.push(work);
    else return false;
    return true;
  }

  /** Waits for all that was begun, or waits to be, whether it fails or not. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /** Waits for all that was begun, or waits to be. */
  async finish(): Promise<void> {
    await this.settled();
    this.throwFailure();
  }

  /** Throws the first failure of what was begun. */
  throwFailure(): void {
    if (this.#failure) throw this.#failure.error as Error;
  }

  #start(work: () => Promise<void>): void {
    const one: Promise<void> = work()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#underWay.delete(one);
        const next = this.#waiting.shift();
        if (next) this.#start(next);
      });
    this.#underWay.add(one);
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#waiting = [];
  }
}
