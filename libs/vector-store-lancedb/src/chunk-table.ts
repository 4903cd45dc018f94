import { MatchQuery, type Table } from '@lancedb/lancedb';
import type { Float32, Vector } from 'apache-arrow';
import { AppError } from '@embergate/contracts/errors.ts';
import type {
  ChunkStamp,
  CollectionStamp,
  RepoCount,
  SampledRow,
  ScoredChunk,
  StoredChunk,
} from '@embergate/vector-store/store.ts';
import { collectionNotFound } from './failures.ts';
import { RESULT_COLUMNS, stampOf, toStoredChunk } from './rows.ts';
import { sqlIn, sqlString } from './sql.ts';

/*
 * Queries on the table of one collection. `condition` is SQL that says which rows a search may see, null for all.
 */

/** Ids or hashes in one SQL condition: some 100 KB of text. */
export const VALUES_PER_QUERY = 1_000;
const ROWS_PER_PAGE = 4_096;
/** Fewer than above: each may bring a row of 14 KB from every repo that holds the same text. */
const HASHES_PER_QUERY = 500;

/** The stamp of a collection. Throws `collection_not_found` for a table that Embergate did not make. */
export async function readStamp(table: Table, collection: string): Promise<CollectionStamp> {
  const stamp = stampOf(await table.schema());
  if (stamp === null) throw collectionNotFound(collection);
  return stamp;
}

export function checkDimensions(stamp: CollectionStamp, vector: Float32Array): void {
  if (vector.length === stamp.space.dimensions) return;
  throw new AppError(
    'space_mismatch',
    `The collection "${stamp.name}" holds vectors of ${stamp.space.dimensions} dimensions, this one has ${vector.length}`,
  );
}

interface Search {
  condition: string | null;
  limit: number;
}

/** The nearest rows by cosine, exactly. */
export async function nearestRows(
  table: Table,
  vector: Float32Array,
  search: Search,
): Promise<ScoredChunk[]> {
  const query = table.vectorSearch(vector).distanceType('cosine').limit(search.limit);
  if (search.condition !== null) query.where(search.condition);
  // LanceDB logs a warning for each query that does not name the column of its score.
  const rows = (await query.select([...RESULT_COLUMNS, '_distance']).toArray()) as (StoredChunk & {
    _distance: number;
  })[];
  return rows.map((row) => ({ ...toStoredChunk(row), score: 1 - row._distance })).sort(byScore);
}

/** The best rows by BM25 for any of the terms. Rows that the index does not hold yet are scanned. */
export async function matchingRows(table: Table, terms: string[], search: Search): Promise<ScoredChunk[]> {
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
  const where = conditions.filter((condition) => condition !== null).join(' AND ');
  const rows = (await table.query().where(where).select(RESULT_COLUMNS).toArray()) as StoredChunk[];
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
    for (let start = 0; start < rows.length; start += ROWS_PER_PAGE) {
      yield rows
        .slice(start, start + ROWS_PER_PAGE)
        .map(({ id, path, addedBy, removedBy }) => ({ id, path, addedBy, removedBy }));
    }
  }
}

/** Vectors by the hash of what was embedded, one a hash however many rows share it. */
export async function vectorsOf(table: Table, hashes: string[]): Promise<Map<string, Float32Array>> {
  const vectors = new Map<string, Float32Array>();
  for (let start = 0; start < hashes.length; start += HASHES_PER_QUERY) {
    const query = table
      .query()
      .where(sqlIn('embeddedHash', hashes.slice(start, start + HASHES_PER_QUERY)))
      .select(['embeddedHash', 'vector']);
    for await (const batch of query) {
      for (const row of batch) {
        const { embeddedHash, vector } = row as unknown as { embeddedHash: string; vector: Vector<Float32> };
        if (!vectors.has(embeddedHash)) vectors.set(embeddedHash, vector.toArray().slice());
      }
    }
  }
  return vectors;
}

/** Rows from anywhere in the table: those that lie side by side are often of one file, and much alike. */
export async function sampleOf(table: Table, search: Search): Promise<SampledRow[]> {
  const ids = await someRowIds(table, search);
  if (ids.length === 0) return [];
  const sample: SampledRow[] = [];
  for await (const batch of table.takeRowIds(ids).select([...RESULT_COLUMNS, 'embeddedHash', 'vector'])) {
    for (const row of batch) {
      const { embeddedHash, vector, ...chunk } = row as unknown as StoredChunk & {
        embeddedHash: string;
        vector: Vector<Float32>;
      };
      sample.push({ ...toStoredChunk(chunk), embeddedHash, vector: vector.toArray().slice() });
    }
  }
  return sample;
}

/** Each row as likely as any other: Vitter's algorithm R (1985), which holds no more than it returns. */
async function someRowIds(table: Table, { condition, limit }: Search): Promise<bigint[]> {
  const query = table.query().select(['repo']).withRowId();
  if (condition !== null) query.where(condition);
  const ids: bigint[] = [];
  let seen = 0;
  for await (const batch of query) {
    const column = batch.getChild('_rowid');
    for (let at = 0; at < batch.numRows; at++, seen++) {
      const place = seen < limit ? seen : Math.floor(Math.random() * (seen + 1));
      if (place < limit) ids[place] = column?.get(at) as bigint;
    }
  }
  return ids;
}

export async function countRowsByRepo(table: Table, condition: string | null): Promise<RepoCount[]> {
  const query = table.query().select(['repo']);
  if (condition !== null) query.where(condition);
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
