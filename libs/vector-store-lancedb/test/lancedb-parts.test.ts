import { describe, expect, test } from 'vitest';
import { AppError } from '@embergate/contracts/errors.ts';
import { isTableNotFound, retryingConflicts, toStoreError } from '../src/failures.ts';
import { pruneBefore } from '../src/maintenance.ts';
import { searchCondition, sqlString } from '../src/sql.ts';

describe('what LanceDB says becomes a code that a user can act on', () => {
  test.each([
    [
      'lance error: LanceError(IO): Generic LocalFileSystem error: No space left on device (os error 28)',
      'storage_full',
    ],
    ['Unable to created lance dataset at /data: Read-only file system (os error 30)', 'storage_full'],
    ['Unable to create dir: Permission denied (os error 13)', 'storage_full'],
    ['lance error: Disk quota exceeded (os error 122)', 'storage_full'],
    ['lance error: LanceError(IO): Execution error', 'store_down'],
  ])('%s: %s', (message, code) => {
    const cause = new Error(message);
    expect(toStoreError(cause)).toMatchObject({ code, cause });
  });

  test('a code that is there already stays', () => {
    const error = new AppError('space_mismatch', 'other space');
    expect(toStoreError(error)).toBe(error);
  });

  test('the first words of a failure are told, without where in LanceDB it came from', () => {
    const cause = new Error(
      'lance error: LanceError(IO): Invalid range 0..0 for object of size 0 bytes, /usr/local/cargo/lance-12.0.0/src/dataset.rs:763:26  Caused by: LanceError(IO): Invalid range',
    );
    expect(toStoreError(cause).message).toBe(
      'The vector store failed: lance error: LanceError(IO): Invalid range 0..0 for object of size 0 bytes',
    );
  });

  test('a mistake in the adapter itself is no outage that a job would wait for', () => {
    expect(toStoreError(new TypeError('x is not a function')).code).toBe('internal');
  });

  test('a missing table is told from a missing file of a table that is there', () => {
    expect(isTableNotFound(new Error("Table 'chunks_a' was not found  Caused by: Dataset at path ..."))).toBe(
      true,
    );
    expect(
      isTableNotFound(new Error('lance error: Not found: data/chunks_a.lance/_versions, commit.rs:670')),
    ).toBe(true);
    expect(isTableNotFound(new Error('lance error: Not found: data/chunks_a.lance/data/1.lance'))).toBe(
      false,
    );
  });
});

describe('a write that lost a race', () => {
  const conflict = new Error(
    'Retryable commit conflict for version 195: This Rewrite transaction was preempted',
  );

  test('is done again until it wins', async () => {
    let attempts = 0;
    const write = async (): Promise<string> => {
      if (++attempts < 4) throw conflict;
      return 'written';
    };
    await expect(retryingConflicts(write)).resolves.toBe('written');
    expect(attempts).toBe(4);
  });

  test('is not done again when it failed for another reason', async () => {
    let attempts = 0;
    const write = async (): Promise<never> => {
      attempts++;
      throw new Error('No space left on device (os error 28)');
    };
    await expect(retryingConflicts(write)).rejects.toThrow('No space left');
    expect(attempts).toBe(1);
  });
});

describe('conditions in SQL', () => {
  test('hold strings that cannot end early', () => {
    expect(sqlString("it's '' \\' \"x\"")).toBe("'it''s '''' \\'' \"x\"'");
  });

  test('say nothing where nothing is hidden and nothing is asked for', () => {
    expect(searchCondition({ addedBy: [], removedBy: [] }, {})).toBeNull();
  });

  test('keep the rows that nobody removed', () => {
    expect(searchCondition({ addedBy: ['p'], removedBy: ["c'"] }, { repo: ['a'] })).toBe(
      "repo IN ('a') AND NOT addedBy IN ('p') AND (removedBy IS NULL OR NOT removedBy IN ('c'''))",
    );
  });
});

describe('old versions', () => {
  test('stay while somebody who read a moment ago may use them, however old they are', () => {
    const [written, replacedAt] = [1_000, 900_000];
    expect(pruneBefore([written, replacedAt], 899_999)).toBe(written);
    expect(pruneBefore([written, replacedAt], 900_000)).toBe(replacedAt);
    expect(pruneBefore([written], 500)).toBe(0);
  });
});
