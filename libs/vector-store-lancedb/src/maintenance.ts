import { Index, type Table } from '@lancedb/lancedb';
import { retryingConflicts } from './failures.ts';

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

/** Merges small files, brings indexes up to date, and deletes versions that nobody has read from for `keepMs`. */
export async function compact(table: Table, keepMs: number): Promise<void> {
  const cleanupOlderThan = await pruneBefore(table, keepMs);
  await retryingConflicts(() => table.optimize({ cleanupOlderThan }));
}

/**
 * The time before which versions can go: that of the version which was the newest one `keepMs` ago. Its age alone
 * says nothing: a table that was quiet for a day has a day-old version that all searches of a moment ago still read.
 */
async function pruneBefore(table: Table, keepMs: number): Promise<Date> {
  const latest = Date.now() - keepMs;
  const times = (await table.listVersions()).map((version) => version.timestamp.getTime());
  return new Date(Math.max(0, ...times.filter((time) => time <= latest)));
}
