import type { Table } from '@lancedb/lancedb';
import type { Float32, Vector } from 'apache-arrow';
import { splitByBytes } from '@embergate/vector-store/pages.ts';
import { Reservoir } from '@embergate/vector-store/reservoir.ts';
import type {
  ChunkVectors,
  CollectionStamp,
  RowVectors,
  SampledRow,
  StoredChunk,
  VisibleRow,
} from '@embergate/vector-store/store.ts';
import type { RowSelection } from './chunk-table.ts';
import { hashOf, RESULT_COLUMNS, toStoredChunk, VECTOR_COLUMNS } from './rows.ts';
import { EMBEDDED, sqlAll, sqlIn, sqlString, WITHOUT_VECTOR } from './sql.ts';

/*
 * Queries that bring vectors, from the table of one collection.
 */

/** Each may bring a row of 14 KB; a hash, one from every repo that holds the same text. */
const VALUES_PER_QUERY = 500;

interface VectorColumns {
  vector: Vector<Float32>;
  secondVector?: Vector<Float32>;
}

const vectorColumns = ({ secondSpace }: CollectionStamp): string[] =>
  secondSpace === null ? [VECTOR_COLUMNS.first] : [VECTOR_COLUMNS.first, VECTOR_COLUMNS.second];

/** Arrow's vectors are views of a whole batch: copied, so that it can go. */
const copyOf = ({ vector, secondVector }: VectorColumns): ChunkVectors => ({
  vector: vector.toArray().slice(),
  secondVector: secondVector?.toArray().slice() ?? null,
});

/** Vectors by the hash of what was embedded, one of each space a hash however many rows share it. */
export async function vectorsByHash(
  table: Table,
  stamp: CollectionStamp,
  hashes: string[],
): Promise<Map<string, ChunkVectors>> {
  const vectors = new Map<string, ChunkVectors>();
  const where = (some: string[]): string => sqlIn('embeddedHash', some);
  for await (const row of rowsWhere(table, stamp, { values: hashes, where }))
    if (!vectors.has(row.embeddedHash)) vectors.set(row.embeddedHash, copyOf(row));
  return vectors;
}

export async function vectorsById(
  table: Table,
  stamp: CollectionStamp,
  ids: string[],
): Promise<Map<string, RowVectors>> {
  const vectors = new Map<string, RowVectors>();
  const where = (some: string[]): string => sqlAll([sqlIn('id', some), EMBEDDED]);
  for await (const row of rowsWhere(table, stamp, { values: ids, where }))
    vectors.set(row.id, { embeddedHash: row.embeddedHash, ...copyOf(row) });
  return vectors;
}

type FoundRow = VectorColumns & { id: string; embeddedHash: string };

/** @param where of some of the values; only rows that have a vector. */
async function* rowsWhere(
  table: Table,
  stamp: CollectionStamp,
  { values, where }: { values: string[]; where: (some: string[]) => string },
): AsyncGenerator<FoundRow, void, undefined> {
  for (let start = 0; start < values.length; start += VALUES_PER_QUERY) {
    const query = table
      .query()
      .where(where(values.slice(start, start + VALUES_PER_QUERY)))
      .select(['id', 'embeddedHash', ...vectorColumns(stamp)]);
    for await (const batch of query) yield* batch as unknown as Iterable<FoundRow>;
  }
}

/** Rows from anywhere in the table: those that lie side by side are often of one file, and much alike. */
export async function sampleOf(
  table: Table,
  stamp: CollectionStamp,
  search: RowSelection,
): Promise<SampledRow[]> {
  const ids = await someRowIds(table, search);
  if (ids.length === 0) return [];
  const columns = [...RESULT_COLUMNS, 'embeddedHash', ...vectorColumns(stamp)];
  const sample: SampledRow[] = [];
  for await (const batch of table.takeRowIds(ids).select(columns)) {
    for (const row of batch as unknown as Iterable<StoredChunk & VectorColumns & { embeddedHash: string }>) {
      sample.push({ ...toStoredChunk(row), embeddedHash: row.embeddedHash, ...copyOf(row) });
    }
  }
  return sample;
}

/** Holds no more than it returns. */
async function someRowIds(table: Table, { condition, limit }: RowSelection): Promise<bigint[]> {
  const query = table
    .query()
    .select(['repo'])
    .withRowId()
    .where(sqlAll([condition, EMBEDDED]));
  const ids = new Reservoir<bigint>(limit);
  for await (const batch of query) {
    const column = batch.getChild('_rowid');
    for (let at = 0; at < batch.numRows; at++) ids.offer(column?.get(at) as bigint);
  }
  return ids.kept;
}

type StoredRow = Omit<VisibleRow, keyof ChunkVectors | 'lexical'> &
  Pick<VectorColumns, 'secondVector'> & { vector: Vector<Float32> | null; lexicalText: string };

/** Ids of the rows of a run that have no vector yet. */
export const unembeddedPages = (table: Table, runId: string): AsyncGenerator<string[]> =>
  idPages(table, sqlAll([`addedBy = ${sqlString(runId)}`, WITHOUT_VECTOR]));

/** Ids of rows, some eighty bytes of memory each. */
export async function idsOf(table: Table, condition: string | null): Promise<string[]> {
  const ids: string[] = [];
  for await (const page of idPages(table, condition)) for (const id of page) ids.push(id);
  return ids;
}

/** In the batches that LanceDB hands out, of 1,024 rows at most. */
async function* idPages(table: Table, condition: string | null): AsyncGenerator<string[]> {
  const query = table.query().select(['id']);
  if (condition !== null) query.where(condition);
  for await (const batch of query)
    yield Array.from(batch as unknown as Iterable<{ id: string }>, ({ id }) => id);
}

/** Rows by their ids, whole, in pages of a few MB. */
export async function rowsOf(table: Table, stamp: CollectionStamp, ids: string[]): Promise<VisibleRow[][]> {
  const own = ['embeddedHash', 'lexicalText', 'addedBy', 'removedBy'];
  const columns = [...RESULT_COLUMNS, ...own, ...vectorColumns(stamp)];
  const rows: VisibleRow[] = [];
  for await (const batch of table.query().where(sqlIn('id', ids)).select(columns)) {
    for (const row of batch as unknown as Iterable<StoredRow>) {
      const { addedBy, removedBy, vector } = row;
      const vectors = vector === null ? { vector, secondVector: null } : copyOf({ ...row, vector });
      const embeddedHash = hashOf(row.embeddedHash);
      const lexical = row.lexicalText !== '';
      rows.push({ ...toStoredChunk(row), embeddedHash, lexical, addedBy, removedBy, ...vectors });
    }
  }
  return splitByBytes(rows);
}
