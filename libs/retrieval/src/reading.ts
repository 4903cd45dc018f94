import type { ScoredChunk, SearchOptions } from '@embergate/vector-store/store.ts';

/** A list of rows, and as of which state of the collection's runs it was read; null where the store had nothing to read. */
export interface Reading {
  chunks: ScoredChunk[];
  asOf: string | null;
}

/** A run is published once in minutes: who meets two in a row has seen enough. */
const MAX_ATTEMPTS = 3;

export async function reading(
  search: (how: Required<Pick<SearchOptions, 'onAsOf'>>) => Promise<ScoredChunk[]>,
): Promise<Reading> {
  let asOf: string | null = null;
  const chunks = await search({ onAsOf: (state) => (asOf = state) });
  return { chunks, asOf };
}

/**
 * Two lists of one search as of the same state. One is often read long before the other, which waits for the model: a run that is published
 * in between would show its new rows beside the old ones. What was read first is then read again.
 */
export async function asOfOneState(
  early: { read: () => Promise<Reading>; begun: Promise<Reading> },
  late: () => Promise<Reading>,
): Promise<{ early: ScoredChunk[]; late: ScoredChunk[] }> {
  let [one, other] = await Promise.all([early.begun, late()]);
  for (let attempt = 1; attempt < MAX_ATTEMPTS && differs(one, other); attempt++) {
    one = await early.read();
    if (differs(one, other)) other = await late();
  }
  return { early: one.chunks, late: other.chunks };
}

const differs = (one: Reading, other: Reading): boolean =>
  one.asOf !== null && other.asOf !== null && one.asOf !== other.asOf;
