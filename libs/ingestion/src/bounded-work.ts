/** Works on a few things at a time. The first failure is thrown by what is called next; nothing new is begun after it. */
export class BoundedWork {
  readonly #most: number;
  readonly #underWay = new Set<Promise<void>>();
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

  /** Begins unless as much as may be is under way, or something has failed. */
  tryBegin(work: () => Promise<void>): boolean {
    if (this.#failure || this.#underWay.size >= this.#most) return false;
    this.#start(work);
    return true;
  }

  /** Waits for all that was begun, whether it fails or not. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  /** Waits for all that was begun. */
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
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => this.#underWay.delete(one));
    this.#underWay.add(one);
  }
}
