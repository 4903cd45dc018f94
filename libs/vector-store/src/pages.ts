import type { CollectionSpaces, VisibleRow } from './store.ts';

const MAX_ROWS = 256;
const MAX_BYTES = 4 * 1024 * 1024;

/** Rows to ask a store for at once, when one number of a vector takes that many bytes on its way. */
export function rowsPerPage({ space, secondSpace }: CollectionSpaces, bytesPerNumber: number): number {
  const numbers = space.dimensions + (secondSpace?.dimensions ?? 0);
  return Math.min(MAX_ROWS, Math.max(1, Math.floor(MAX_BYTES / (numbers * bytesPerNumber))));
}

/** Rows in pages of a few MB; how long texts are is known only when they are there. */
export function splitByBytes(rows: readonly VisibleRow[]): VisibleRow[][] {
  const pages: VisibleRow[][] = [];
  let page: VisibleRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    const size = 2 * row.text.length + (row.vector?.byteLength ?? 0) + (row.secondVector?.byteLength ?? 0);
    if (page.length > 0 && bytes + size > MAX_BYTES) {
      pages.push(page);
      page = [];
      bytes = 0;
    }
    page.push(row);
    bytes += size;
  }
  if (page.length > 0) pages.push(page);
  return pages;
}
