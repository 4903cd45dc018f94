import { Index, type Table } from '@lancedb/lancedb';
import { retryingConflicts } from './failures.ts';
import { VECTOR_COLUMNS } from './rows.ts';

/**
 * The indexes of a collection's table, made while it is empty; optimize() brings them up to date, and rows they do not
 * hold yet are found by a scan. There is none on the vectors: those are searched exactly.
 *
 * - Bitmaps on what searches filter by. Without them LanceDB copies the vectors of all rows that pass a filter, even
 *   when nearly all do: 46 instead of 23 ms of CPU for 20,000 x 384.
 * - B-trees on what writes look up. At 440,000 rows an upsert takes a quarter of the time, at 100,000 the same.
 * - Full text: the text is prepared (see lexical-text.ts), so that tokens are what stands between spaces. Rows beyond
 *   the index are read with the index's tokenizer, but with another one where there is no index.
 */
export async function createIndexes(table: Table): Promise<void> {
  for (const column of ['repo', 'language', 'addedBy', 'removedBy']) {
    await table.createIndex(column, { config: Index.bitmap() });
  }
  for (const column of ['id', 'embeddedHash']) await table.createIndex(column, { config: Index.btree() });
  const fullText = Index.fts({
    baseTokenizer: 'whitespace',
    withPosition: false,
    lowercase: false,
    stem: false,
    removeStopWords: false,
    asciiFolding: false,
    maxTokenLength: 128,
  });
  await table.createIndex('lexicalText', { config: fullText });
}

/** Lets a table hold rows without a vector; those that were made by earlier versions did not. */
export async function allowMissingVectors(table: Table): Promise<void> {
  const { fields } = await table.schema();
  const strict = Object.values(VECTOR_COLUMNS).filter(
    (name) => fields.find((field) => field.name === name)?.nullable === false,
  );
  if (strict.length > 0) await table.alterColumns(strict.map((path) => ({ path, nullable: true })));
}

/** Fragments of a table: each write leaves one, each search opens all. */
const MAX_FRAGMENTS = 32;

/** What may wait grows with the table, so that what is written grows with the change and not with the table. */
const mayWait = (rows: number): number => Math.max(1_000, rows / 20);

/**
 * Whether optimizing pays. It rewrites all fragments of less than a million rows, vectors included (LanceDB's API has no
 * way to bring only the indexes up to date), so that after a re-index of few files it is better left for later; with one
 * fragment it only deletes old versions and is cheap.
 * Limits: `waitingRows` (default: a twentieth of the table, 1,000 at least) not in the full-text index, or as many
 * `deletedRows`, whose space would be kept. Each that waits costs a lexical search some 12 microseconds, as ten rows of
 * a table cost a dense one.
 */
export async function isWorthOptimizing(
  table: Table,
  { deletedRows, waitingRows }: { deletedRows: number; waitingRows: number | undefined },
): Promise<boolean> {
  const { numRows, fragmentStats } = await table.stats();
  const most = waitingRows ?? mayWait(numRows);
  if (deletedRows > most) return true;
  const index = await table.indexStats('lexicalText_idx');
  if (index === undefined || index.numUnindexedRows > most) return true;
  return fragmentStats.numFragments <= 1 || fragmentStats.numFragments > MAX_FRAGMENTS;
}

/** Merges small files, brings indexes up to date, and deletes versions that nobody has read from for `keepMs`. */
export async function compact(table: Table, keepMs: number): Promise<void> {
  const times = (await table.listVersions()).map(({ timestamp }) => timestamp.getTime());
  const cleanupOlderThan = new Date(pruneBefore(times, Date.now() - keepMs));
  await retryingConflicts(() => table.optimize({ cleanupOlderThan }));
}

/**
 * Versions from before this time can go: nobody who began to read at `oldestRead` or later uses them. That is the time
 * of the version that was the newest at `oldestRead`. A version's age alone says nothing: on a table that was quiet
 * for a day, all readers of a moment ago use a day-old one. All times in milliseconds.
 */
export function pruneBefore(versionTimes: number[], oldestRead: number): number {
  return Math.max(0, ...versionTimes.filter((time) => time <= oldestRead));
}
