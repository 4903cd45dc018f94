import type { RunRecord, RunState, SearchOptions } from './store.ts';

/**
 * What a search must not see. A row is visible when its `addedBy` is not in the first list and its `removedBy` not in
 * the second. Both are as short as there are runs under way or not yet swept.
 */
export interface HiddenRuns {
  /** Runs whose added rows are hidden: pending and cancelled ones. Sorted. */
  addedBy: string[];
  /** Runs whose removed rows are hidden: committed ones. Sorted. */
  removedBy: string[];
}

/** What the run records of one collection hide. Of a run that is still embedding: nothing. */
export function hiddenRuns(runs: RunRecord[]): HiddenRuns {
  const idsOf = (...states: RunState[]): string[] =>
    runs
      .filter((run) => states.includes(run.state))
      .map((run) => run.id)
      .sort();
  return { addedBy: idsOf('pending', 'cancelled'), removedBy: idsOf('committed') };
}

/** What would be hidden if that run were committed now. */
function withCommitted(hidden: HiddenRuns, runId: string | undefined): HiddenRuns {
  if (runId === undefined) return hidden;
  return {
    addedBy: hidden.addedBy.filter((id) => id !== runId),
    removedBy: [...new Set([...hidden.removedBy, runId])].sort(),
  };
}

const wordOf = (hidden: HiddenRuns): string => JSON.stringify([hidden.addedBy, hidden.removedBy]);
const sameHidden = (one: HiddenRuns, other: HiddenRuns): boolean => wordOf(one) === wordOf(other);

const MAX_ATTEMPTS = 5;

/**
 * Reads rows so that every run is seen whole or not at all, though records and rows are read one after the other.
 *
 * A run that starts, or is published, between the two reads would show half its work. So the records are read again
 * after the rows, and the rows once more where the records say something else. When runs change faster than rows can
 * be read, the last reading counts: it is no worse than a search without this check.
 *
 * @param how `onAsOf` is told what was hidden when the rows that count were read, in a word.
 */
export async function readVisibly<T>(
  readHidden: () => Promise<HiddenRuns>,
  readRows: (hidden: HiddenRuns) => Promise<T>,
  { asIfCommitted, onAsOf }: Pick<SearchOptions, 'asIfCommitted' | 'onAsOf'> = {},
): Promise<T> {
  let hidden = await readHidden();
  for (let attempt = 1; ; attempt++) {
    const rows = await readRows(withCommitted(hidden, asIfCommitted));
    const after = await readHidden();
    if (attempt === MAX_ATTEMPTS || sameHidden(hidden, after)) {
      onAsOf?.(wordOf(hidden));
      return rows;
    }
    hidden = after;
  }
}
