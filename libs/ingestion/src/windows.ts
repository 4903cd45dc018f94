import type { SourceLines } from './source-lines.ts';

export interface Rows {
  /** First row, 0-based. */
  first: number;
  /** Last row, included. */
  last: number;
}

export interface WindowOptions extends Rows {
  maxChars: number;
  /** Rows at the end of a window that the next one repeats, as long as they are a small part of it. */
  overlapRows: number;
}

/**
 * Cuts rows into windows of at most `maxChars`, at a blank row where one lies in a window's last third.
 * A row that is longer than `maxChars` comes back alone; {@link splitLongLine} cuts it.
 */
export function lineWindows(source: SourceLines, options: WindowOptions): Rows[] {
  const windows: Rows[] = [];
  const { maxChars } = options;
  let first = options.first;
  while (first <= options.last) {
    let last = first;
    while (last < options.last && source.size(first, last + 1) <= maxChars) last += 1;
    if (last < options.last) last = quietEnd(source, { first, last, maxChars });
    const rows = source.trim(first, last);
    if (rows) windows.push(rows);
    if (last >= options.last) break;
    first = Math.max(first + 1, overlapStart(source, last, options));
  }
  return windows;
}

/** The row before the last blank row of the window's last third, or the window's last row. */
function quietEnd(source: SourceLines, window: Rows & { maxChars: number }): number {
  for (let row = window.last; row > window.first; row -= 1) {
    if (source.size(window.first, row) < (window.maxChars * 2) / 3) break;
    if (source.isBlank(row)) return row;
  }
  return window.last;
}

/** Where the window after the one that ends at `last` begins. Overlap never takes more than a sixth of a window. */
function overlapStart(source: SourceLines, last: number, options: WindowOptions): number {
  let next = last + 1;
  // After a blank row a new paragraph begins: nothing to repeat.
  if (source.isBlank(last)) return next;
  while (next > last + 1 - options.overlapRows && source.size(next - 1, last) <= options.maxChars / 6)
    next -= 1;
  return next;
}

/** Cuts a line into pieces of at most `maxChars`, after a space where there is one near; never inside a surrogate pair. */
export function splitLongLine(line: string, maxChars: number): string[] {
  const pieces: string[] = [];
  let rest = line;
  while (rest.length > maxChars) {
    const space = rest.lastIndexOf(' ', maxChars - 1);
    let cut = space > maxChars / 2 ? space + 1 : maxChars;
    const code = rest.charCodeAt(cut - 1);
    if (code >= 0xd800 && code < 0xdc00 && cut > 1) cut -= 1;
    pieces.push(rest.slice(0, cut));
    rest = rest.slice(cut);
  }
  if (rest !== '') pieces.push(rest);
  return pieces.filter((piece) => piece.trim() !== '');
}
