/**
 * A text seen as rows. Rows are 0-based and end at `\n`; a row's end leaves the line ending (`\n` or `\r\n`) out.
 * Sizes are UTF-16 code units, the unit of `maxChars`.
 */
export class SourceLines {
  readonly text: string;
  readonly count: number;
  readonly #starts: number[];

  constructor(text: string) {
    this.text = text;
    this.#starts = [0];
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#starts.push(at + 1);
    this.count = this.#starts.length;
  }

  start(row: number): number {
    return this.#starts[row] ?? this.text.length;
  }

  end(row: number): number {
    const next = this.#starts[row + 1];
    if (next === undefined) return this.text.length;
    return this.text.charCodeAt(next - 2) === 13 && next - 2 >= this.start(row) ? next - 2 : next - 1;
  }

  /** Code units of the rows `first` to `last`, both included, without the last line ending. */
  size(first: number, last: number): number {
    return this.end(last) - this.start(first);
  }

  slice(first: number, last: number): string {
    return this.text.slice(this.start(first), this.end(last));
  }

  isBlank(row: number): boolean {
    return this.slice(row, row).trim() === '';
  }

  /** The same rows without blank ones at either end, or null when all are blank. */
  trim(first: number, last: number): { first: number; last: number } | null {
    while (first <= last && this.isBlank(first)) first += 1;
    while (last >= first && this.isBlank(last)) last -= 1;
    return first <= last ? { first, last } : null;
  }
}
