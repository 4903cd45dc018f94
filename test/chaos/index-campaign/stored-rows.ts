import type { SampledRow, VectorStore } from '@embergate/vector-store/store.ts';
import { isSameVector } from '../campaign/direct-model.ts';

/** More rows than any collection of the campaign has: then a sample is all of them. */
const ALL = 1_000_000;

/** A row's place in every run: a full run puts its own name behind it. */
const keyOf = (id: string): string => id.split('~', 1)[0] ?? id;

export interface RowDifferences {
  rows: number;
  missing: number;
  surplus: number;
  twice: number;
  /** Another text, place, language or hash under the same key. */
  changed: number;
  wrongVectors: number;
}

/** All visible rows of a collection. */
export const visibleRows = (store: VectorStore, collection: string): Promise<SampledRow[]> =>
  store.sampleRows(collection, ALL);

/** Compares the visible rows with those of an undisturbed run, row by row. */
export function compareRows(found: SampledRow[], expected: SampledRow[]): RowDifferences {
  const wanted = new Map(expected.map((row) => [keyOf(row.id), row]));
  const seen = new Set<string>();
  const result = { rows: found.length, missing: 0, surplus: 0, twice: 0, changed: 0, wrongVectors: 0 };
  for (const row of found) {
    const key = keyOf(row.id);
    const other = wanted.get(key);
    if (seen.has(key)) result.twice += 1;
    else if (!other) result.surplus += 1;
    else {
      if (shown(row) !== shown(other)) result.changed += 1;
      // Batches are packed otherwise after a kill, and padding moves the last bits.
      if (!isSameVector(row.vector, other.vector)) result.wrongVectors += 1;
    }
    seen.add(key);
  }
  result.missing = [...wanted.keys()].filter((key) => !seen.has(key)).length;
  return result;
}

const shown = ({ vector: _vector, id: _id, ...row }: SampledRow): string =>
  JSON.stringify(Object.entries(row).sort(([one], [other]) => (one < other ? -1 : 1)));

/**
 * Rows that a run has written so far, with their vectors: a first run writes all of them without, to begin with.
 * @param isMade whether the vectors of a path's rows are made by the run.
 */
export async function embeddedRowsOfRun(
  store: VectorStore,
  {
    collection,
    repo,
    runId,
    isMade,
  }: { collection: string; repo: string; runId: string; isMade: (path: string) => boolean },
): Promise<number> {
  let rows = 0;
  try {
    for await (const page of store.stamps(collection, repo))
      rows += page.filter(({ addedBy, path }) => addedBy === runId && isMade(path)).length;
    for await (const page of store.unembedded(collection, runId)) rows -= page.length;
  } catch {
    // The collection has not been made yet.
  }
  return rows;
}
