/** Some of many, each as likely as any other: Vitter's algorithm R ("Random sampling with a reservoir", ACM TOMS 11, 1985). */
export class Reservoir<T> {
  readonly kept: T[] = [];
  readonly #size: number;
  #offered = 0;

  constructor(size: number) {
    this.#size = size;
  }

  offer(one: T): void {
    const place =
      this.#offered < this.#size ? this.#offered : Math.floor(Math.random() * (this.#offered + 1));
    this.#offered += 1;
    if (place < this.#size) this.kept[place] = one;
  }
}
