import { describe, expect, test } from 'vitest';
import { run } from '../src/conformance/samples.ts';
import type { RunRecord } from '../src/store.ts';
import { hiddenRuns, readVisibly, type HiddenRuns } from '../src/visibility.ts';

describe('what a search must not see', () => {
  test('rows of runs that are not published, and rows that a published run removed', () => {
    expect(hiddenRuns([run('c', 'committed'), run('x', 'cancelled'), run('p', 'pending')])).toEqual({
      addedBy: ['p', 'x'],
      removedBy: ['c'],
    });
    expect(hiddenRuns([])).toEqual({ addedBy: [], removedBy: [] });
  });

  test('a run that starts while a search reads is not seen by halves: the search reads again', async () => {
    const records: RunRecord[] = [];
    const seen: HiddenRuns[] = [];
    const rows = await readVisibly(
      async () => hiddenRuns(records),
      async (hidden) => {
        seen.push(hidden);
        if (seen.length === 1) records.push(run('late', 'pending'));
        return hidden.addedBy.includes('late') ? ['old'] : ['old', 'half a run'];
      },
    );
    expect(rows).toEqual(['old']);
    expect(seen).toHaveLength(2);
  });

  test('a search ends even when runs never stop changing', async () => {
    let turn = 0;
    const records = async () => hiddenRuns([run(`run-${turn++}`, 'pending')]);
    await expect(readVisibly(records, async () => 'an answer')).resolves.toBe('an answer');
  });
});
