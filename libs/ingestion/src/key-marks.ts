const FIRST_SLOTS = 1_024;
const WORDS = 4;
/** In a slot's marks: there is a key. */
const TAKEN = 0x80;
export const MOST_TAG = 0xffff;

/** A key: 128 bits in hex. */
const KEY = /^[0-9a-f]{32}$/;
export const isKey = (text: string): boolean => KEY.test(text);

/**
 * Marks (bits below 0x80) and a tag (a number up to {@link MOST_TAG}, 0 at first) for each of many keys of 128 bits, in 40 to 80 bytes a
 * key, where a string in a Map takes some 200. Keys are never taken out, and must be such as {@link isKey} says. Open addressing with linear probing: keys are parts of a sha256, so their own first bits are the hash.
 */
export class KeyMarks {
  #words = new Uint32Array(FIRST_SLOTS * WORDS);
  #marks = new Uint8Array(FIRST_SLOTS);
  #tags = new Uint16Array(FIRST_SLOTS);
  #keys = 0;
  /** The key that is looked for. */
  readonly #wanted = new Uint32Array(WORDS);

  has(key: string, mark: number): boolean {
    const slot = this.#slotOf(key);
    return ((this.#marks[slot] ?? 0) & mark) !== 0;
  }

  /** @returns false where the key had it already. */
  add(key: string, mark: number, tag?: number): boolean {
    if ((this.#keys + 1) * 2 > this.#marks.length) this.#grow();
    const slot = this.#slotOf(key);
    const before = this.#marks[slot] ?? 0;
    if ((before & mark) !== 0) return false;
    if (before === 0) {
      this.#words.set(this.#wanted, slot * WORDS);
      this.#keys += 1;
    }
    this.#marks[slot] = before | mark | TAKEN;
    if (tag !== undefined) this.#tags[slot] = tag;
    return true;
  }

  /** @returns false where the key did not have it. */
  remove(key: string, mark: number): boolean {
    const slot = this.#slotOf(key);
    const before = this.#marks[slot] ?? 0;
    if ((before & mark) === 0) return false;
    this.#marks[slot] = before & ~mark;
    return true;
  }

  tagOf(key: string): number {
    return this.#tags[this.#slotOf(key)] ?? 0;
  }

  /** Takes marks from all keys. */
  clear(marks: number): void {
    for (let slot = 0; slot < this.#marks.length; slot++)
      this.#marks[slot] = (this.#marks[slot] ?? 0) & ~marks;
  }

  /** All keys, in no order. Nothing may be added meanwhile. */
  *entries(): Generator<{ key: string; marks: number; tag: number }, void, undefined> {
    for (const [slot, marks] of this.#marks.entries()) {
      if (marks === 0) continue;
      const words = this.#words.subarray(slot * WORDS, (slot + 1) * WORDS);
      const key = Array.from(words, (word) => word.toString(16).padStart(8, '0')).join('');
      yield { key, marks: marks & ~TAKEN, tag: this.#tags[slot] ?? 0 };
    }
  }

  #slotOf(key: string): number {
    for (let at = 0; at < WORDS; at++) this.#wanted[at] = Number.parseInt(key.slice(at * 8, at * 8 + 8), 16);
    return this.#find(this.#wanted);
  }

  /** The slot of a key, or the free one where it would be. */
  #find(words: Uint32Array): number {
    const last = this.#marks.length - 1;
    let slot = (words[0] ?? 0) & last;
    while (this.#marks[slot] !== 0 && !this.#holds(slot, words)) slot = (slot + 1) & last;
    return slot;
  }

  #holds(slot: number, words: Uint32Array): boolean {
    for (let at = 0; at < WORDS; at++) if (this.#words[slot * WORDS + at] !== words[at]) return false;
    return true;
  }

  #grow(): void {
    const [words, marks, tags] = [this.#words, this.#marks, this.#tags];
    const slots = marks.length * 2;
    this.#words = new Uint32Array(slots * WORDS);
    this.#marks = new Uint8Array(slots);
    this.#tags = new Uint16Array(slots);
    for (const [from, mark] of marks.entries()) {
      if (mark === 0) continue;
      const key = words.subarray(from * WORDS, (from + 1) * WORDS);
      const slot = this.#find(key);
      this.#words.set(key, slot * WORDS);
      this.#marks[slot] = mark;
      this.#tags[slot] = tags[from] ?? 0;
    }
  }
}
