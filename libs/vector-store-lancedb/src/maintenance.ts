import { Index, type Table } from '@lancedb/lancedb';
import { retryingConflicts } from './failures.ts';
import { VECTOR_COLUMNS } from './rows.ts';

/**
 * The indexes of a collection's table, made while it is empty; optimize() brings them up to date, and rows they do not
 * hold yet are found by a scan. There is none on the vectors: those are searched exactly.
 *
 * - Bitmaps on what searches filter by. Without them LanceDB copies the vectors of all rows that pass a filter, even
 *   when nearly all do: 46 instead of 23 ms of CPU for 20,000 x 384.
 * - B-trees on what is looked up by value: ids (to mark rows) and hashes of texts. Upserts do without the one on ids.
 * - Full text: the text is prepared (see lexical-text.ts), so that tokens are what stands between spaces. Rows beyond
 *   the index are read with the index's tokenizer, but with another one where there is no index.
 */
export async function createIndexes(table: Table): Promise<void> {
  for (const column of ['repo', 'language', 'addedBy', 'removedBy']) {
    await table.createIndex(column, { config: Index.bitmap() });
  }
  for (const column of ['id', 'embeddedHash']) await table.createIndex(column, { config: Index.btree() });
  await indexText(table);
}

/** Builds the full-text index, anew where there is one; until it is built, searches use the old one. */
async function indexText(table: Table): Promise<void> {
  const config = Index.fts({
    baseTokenizer: 'whitespace',
    withPosition: false,
    lowercase: false,
    stem: false,
    removeStopWords: false,
    asciiFolding: false,
    maxTokenLength: 128,
  });
  await table.createIndex('lexicalText', { config, replace: true });
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
const MAX_FRAGMENTS = 64;

/** What may wait grows with the table, so that what is written grows with the change and not with the table. */
const mayWait = (rows: number): number => Math.max(1_000, rows / 20);

interface Upkeep {
  /** Rows that may wait; default: a twentieth of the table, 1,000 at least. */
  waitingRows: number | undefined;
  deletedRows: number;
  /** See {@link compact}. */
  keepMs: number;
}

/**
 * What pays of two things, after a re-index of few files none:
 *
 * - the full-text index anew, with more rows than may wait outside of it: each costs a lexical search some 12 microseconds. LanceDB's own
 *   way to bring it up to date merges into it, and takes longer and more memory than a new one (docs/benchmarks.md, "Memory");
 * - compaction, with more than {@link MAX_FRAGMENTS}, as many deleted rows as may wait, whose space would be kept, or a single fragment,
 *   when it only deletes old versions. It rewrites all fragments of less than a million rows, vectors included.
 *
 * To be called within a write that is tried again after a conflict.
 *
 * @returns whether deleted rows have gone.
 */
export async function keepUp(table: Table, { waitingRows, deletedRows, keepMs }: Upkeep): Promise<boolean> {
  const { numRows, fragmentStats } = await table.stats();
  const most = waitingRows ?? mayWait(numRows);
  const index = await table.indexStats('lexicalText_idx');
  if (index === undefined || index.numUnindexedRows > most) await indexText(table);
  const { numFragments } = fragmentStats;
  const isWorthCompacting = deletedRows > most || numFragments <= 1 || numFragments > MAX_FRAGMENTS;
  if (isWorthCompacting) await compact(table, keepMs);
  return isWorthCompacting;
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
