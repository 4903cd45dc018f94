import { MatchQuery, type Table } from '@lancedb/lancedb';
import type {
  ChunkStamp,
  CollectionStamp,
  RepoCount,
  ScoredChunk,
  StoredChunk,
} from '@embergate/vector-store/store.ts';
import { stampFor } from '@embergate/vector-store/spaces.ts';
import { collectionNotFound } from './failures.ts';
import { RESULT_COLUMNS, stampOf, toStoredChunk, VECTOR_COLUMNS } from './rows.ts';
import { sqlAll, sqlString } from './sql.ts';

/*
 * Queries on the table of one collection. `condition` is SQL that says which rows a search may see, null for all.
 */

/** Ids or hashes in one SQL condition: some 100 KB of text. */
export const VALUES_PER_QUERY = 1_000;

/** The stamp of a collection. Throws `collection_not_found` for a table that Embergate did not make. */
export async function readStamp(table: Table, collection: string): Promise<CollectionStamp> {
  const stamp = stampOf(await table.schema());
  if (stamp === null) throw collectionNotFound(collection);
  return stampFor(collection, stamp);
}

export interface RowSelection {
  condition: string | null;
  limit: number;
}

/** The nearest rows by cosine, exactly. */
export async function nearestRows(
  table: Table,
  vector: Float32Array,
  search: RowSelection & { which: 'first' | 'second' },
): Promise<ScoredChunk[]> {
  const query = table
    .vectorSearch(vector)
    .column(VECTOR_COLUMNS[search.which])
    .distanceType('cosine')
    .limit(search.limit);
  if (search.condition !== null) query.where(search.condition);
  // LanceDB logs a warning for each query that does not name the column of its score.
  const rows = (await query.select([...RESULT_COLUMNS, '_distance']).toArray()) as (StoredChunk & {
    _distance: number;
  })[];
  return rows.map((row) => ({ ...toStoredChunk(row), score: 1 - row._distance })).sort(byScore);
}

/** The best rows by BM25 for any of the terms. Rows that the index does not hold yet are scanned. */
export async function matchingRows(
  table: Table,
  terms: string[],
  search: RowSelection,
): Promise<ScoredChunk[]> {
  if (terms.length === 0) return [];
  const query = table
    .query()
    .fullTextSearch(new MatchQuery(terms.join(' '), 'lexicalText'))
    .limit(search.limit);
  if (search.condition !== null) query.where(search.condition);
  const rows = (await query.select([...RESULT_COLUMNS, '_score']).toArray()) as (StoredChunk & {
    _score: number;
  })[];
  return rows.map((row) => ({ ...toStoredChunk(row), score: row._score })).sort(byScore);
}

const byScore = (one: ScoredChunk, other: ScoredChunk): number =>
  other.score - one.score || (one.id < other.id ? -1 : 1);

/** Rows that meet all conditions, in line order. */
export async function readRows(table: Table, conditions: (string | null)[]): Promise<StoredChunk[]> {
  const rows = (await table
    .query()
    .where(sqlAll(conditions))
    .select(RESULT_COLUMNS)
    .toArray()) as StoredChunk[];
  return rows
    .map(toStoredChunk)
    .sort((one, other) => one.startLine - other.startLine || one.endLine - other.endLine);
}

/** The stamps of a repo's rows, from one version of the table. */
export async function* stampPages(table: Table, repo: string): AsyncGenerator<ChunkStamp[]> {
  const query = table
    .query()
    .where(`repo = ${sqlString(repo)}`)
    .select(['id', 'path', 'addedBy', 'removedBy']);
  for await (const batch of query) {
    const rows = batch.toArray() as unknown as ChunkStamp[];
    yield rows.map(({ id, path, addedBy, removedBy }) => ({ id, path, addedBy, removedBy }));
  }
}

export async function countRowsByRepo(table: Table, conditions: (string | null)[]): Promise<RepoCount[]> {
  const query = table.query().select(['repo']);
  const where = sqlAll(conditions);
  if (where !== '') query.where(where);
  const counts = new Map<string, number>();
  for await (const batch of query) {
    for (const { repo } of batch as unknown as Iterable<{ repo: string }>) {
      counts.set(repo, (counts.get(repo) ?? 0) + 1);
    }
  }
  return [...counts]
    .map(([repo, chunks]) => ({ repo, chunks }))
    .sort((one, other) => (one.repo < other.repo ? -1 : 1));
}
