interface Event {
  at: number;
  /** Events of one moment happen in the order in which they were planned. */
  order: number;
  action: (() => void) | null;
}

const isBefore = (x: Event, y: Event): boolean => (x.at === y.at ? x.order < y.order : x.at < y.at);

/** A clock in milliseconds that jumps from event to event; a binary heap holds what is planned. */
export class VirtualTime {
  #now = 0;
  #planned = 0;
  readonly #heap: Event[] = [];

  get now(): number {
    return this.#now;
  }

  /** @returns what takes the plan back; a second call, or one after the event, does nothing. */
  after(ms: number, action: () => void): () => void {
    const event: Event = { at: this.#now + Math.max(0, ms), order: this.#planned++, action };
    this.#push(event);
    return () => {
      event.action = null;
    };
  }

  every(ms: number, action: () => void): void {
    this.after(ms, () => {
      action();
      this.every(ms, action);
    });
  }

  /** Lets everything happen that is planned up to then, and what that plans. */
  runUntil(end: number): void {
    for (let event = this.#heap[0]; event && event.at <= end; event = this.#heap[0]) {
      this.#pop();
      this.#now = event.at;
      event.action?.();
    }
    this.#now = end;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (!above || !isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const [x, y] = [heap[left], heap[left + 1]];
      const child = x && y && isBefore(y, x) ? y : x;
      if (!child || !isBefore(child, last)) break;
      heap[at] = child;
      at = child === y ? left + 1 : left;
    }
    heap[at] = last;
  }
}
