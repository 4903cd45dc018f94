import { mkdir } from 'node:fs/promises';
import { connect, Session, type Connection, type Table } from '@lancedb/lancedb';
import { AppError } from '@embergate/contracts/errors.ts';
import type { SearchFilter } from '@embergate/contracts/http-search.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { queryTerms } from '@embergate/vector-store/lexical-text.ts';
import type {
  ChunkRow,
  ChunkStamp,
  CollectionStamp,
  RepoCount,
  RunRecord,
  SampledRow,
  ScoredChunk,
  SearchOptions,
  StoredChunk,
  VectorStore,
} from '@embergate/vector-store/store.ts';
import { readVisibly } from '@embergate/vector-store/visibility.ts';
import * as chunks from './chunk-table.ts';
import { collectionNotFound, isTableNotFound, retryingConflicts, toStoreError } from './failures.ts';
import { compact, createIndexes, isWorthOptimizing } from './maintenance.ts';
import { chunkSchema, toArrowTable } from './rows.ts';
import { createTable, dropTable, folderBytes, tableFolder, tableNames } from './table-folders.ts';
import { RunRecords } from './run-records.ts';
import { searchCondition, sqlIn, sqlString } from './sql.ts';

export interface LanceDbStoreOptions {
  /** Folder of the tables; made when it is not there. Several processes may open it at the same time. */
  path: string;
  /** How long optimize() keeps data that has been replaced, for readers that still use it. Default: two minutes. */
  keepReplacedMs?: number;
  /** Rows that may wait for the full-text index: with fewer, optimize() leaves the table as it is. Default: 1,000. */
  waitingRows?: number;
}

const DEFAULT_WAITING_ROWS = 1_000;
const DEFAULT_KEEP_REPLACED_MS = 120_000;
/** LanceDB's own limits are 6 GiB and 1 GiB: too much beside a model on one machine. */
const INDEX_CACHE_BYTES = 512n * 1024n * 1024n;
const METADATA_CACHE_BYTES = 128n * 1024n * 1024n;
const TABLE_PREFIX = 'chunks_';

/**
 * The embedded vector store: LanceDB tables in a folder, no server. One table a collection, its stamp in the table's
 * schema, and one small table of run records for all. Vectors are searched exactly, without an index of neighbours.
 *
 * Throws `storage_full` when the folder cannot be made or written, `store_down` when it cannot be read.
 */
export async function createLanceDbStore(options: LanceDbStoreOptions): Promise<VectorStore> {
  try {
    await mkdir(options.path, { recursive: true });
    const session = new Session(INDEX_CACHE_BYTES, METADATA_CACHE_BYTES);
    // Without an interval a reader never sees what other processes write.
    const connection = await connect(options.path, { readConsistencyInterval: 0 }, session);
    return new LanceDbStore(connection, await RunRecords.open(options.path, connection), options);
  } catch (error) {
    throw toStoreError(error);
  }
}

class LanceDbStore implements VectorStore {
  readonly name = 'lancedb';
  readonly #connection: Connection;
  readonly #runs: RunRecords;
  readonly #options: LanceDbStoreOptions;
  readonly #tables = new Map<string, Promise<Table>>();
  /** The last write of each collection. Writes of one process take turns: only other processes are worth a retry. */
  readonly #writes = new Map<string, Promise<unknown>>();
  /** Rows that this process deleted since the collection was last optimized. */
  readonly #deleted = new Map<string, number>();
  readonly #counts = new Map<string, { of: string; repos: RepoCount[] }>();

  constructor(connection: Connection, runs: RunRecords, options: LanceDbStoreOptions) {
    this.#connection = connection;
    this.#runs = runs;
    this.#options = options;
  }

  async ensureCollection(name: string, space: EmbeddingSpace): Promise<CollectionStamp> {
    const stamp = { name, space, createdAt: new Date().toISOString() };
    await this.#guarded(null, () =>
      createTable({ path: this.#options.path, name: TABLE_PREFIX + name }, chunkSchema(stamp), createIndexes),
    );
    const existing = await this.getCollection(name);
    if (spaceId(existing.space) !== spaceId(space)) throw otherSpace(existing, space);
    return existing;
  }

  async listCollections(): Promise<CollectionStamp[]> {
    const tables = await this.#guarded(null, () => tableNames(this.#options.path));
    const names = tables.filter((name) => name.startsWith(TABLE_PREFIX));
    const stamps = await Promise.all(
      names.map((name) => this.getCollection(name.slice(TABLE_PREFIX.length)).catch(nullIfDropped)),
    );
    return stamps.filter((stamp) => stamp !== null);
  }

  getCollection(name: string): Promise<CollectionStamp> {
    return this.#read(name, (table) => chunks.readStamp(table, name));
  }

  dropCollection(name: string): Promise<void> {
    return this.#write(name, async () => {
      await dropTable(this.#options.path, TABLE_PREFIX + name);
      this.#tables.delete(name);
      await this.#runs.deleteAll(name);
    });
  }

  putRun(run: RunRecord): Promise<void> {
    return this.#read(run.collection, () => this.#runs.put(run));
  }

  listRuns(collection: string): Promise<RunRecord[]> {
    return this.#read(collection, () => this.#runs.list(collection));
  }

  deleteRun(collection: string, runId: string): Promise<void> {
    return this.#read(collection, () => this.#runs.delete(collection, runId));
  }

  upsertRows(collection: string, rows: ChunkRow[]): Promise<void> {
    return this.#write(collection, async (table) => {
      const stamp = await chunks.readStamp(table, collection);
      for (const row of rows) chunks.checkDimensions(stamp, row.vector);
      // Of two rows with the same id in one batch the later one counts; LanceDB would keep both.
      const distinct = [...new Map(rows.map((row) => [row.id, row])).values()];
      if (distinct.length === 0) return;
      const data = toArrowTable(distinct, stamp.space.dimensions);
      await table.mergeInsert('id').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(data);
    });
  }

  async markRemoved(collection: string, ids: string[], runId: string): Promise<void> {
    for (let start = 0; start < ids.length; start += chunks.VALUES_PER_QUERY) {
      const where = sqlIn('id', ids.slice(start, start + chunks.VALUES_PER_QUERY));
      await this.#write(collection, (table) => table.update({ where, values: { removedBy: runId } }));
    }
  }

  async clearRemovedMarks(collection: string, runId: string): Promise<void> {
    const change = { where: `removedBy = ${sqlString(runId)}`, valuesSql: { removedBy: 'NULL' } };
    await this.#write(collection, (table) => table.update(change));
  }

  async deleteRows(collection: string, where: { addedBy: string } | { removedBy: string }): Promise<void> {
    const condition =
      'addedBy' in where
        ? `addedBy = ${sqlString(where.addedBy)}`
        : `removedBy = ${sqlString(where.removedBy)}`;
    const { numDeletedRows } = await this.#write(collection, (table) => table.delete(condition));
    this.#deleted.set(collection, (this.#deleted.get(collection) ?? 0) + numDeletedRows);
  }

  async *stamps(collection: string, repo: string): AsyncGenerator<ChunkStamp[]> {
    const pages = await this.#read(collection, async (table) => chunks.stampPages(table, repo));
    for (;;) {
      const page = await this.#guarded(collection, () => pages.next());
      if (page.done === true) return;
      yield page.value;
    }
  }

  vectorsByHash(collection: string, hashes: string[]): Promise<Map<string, Float32Array>> {
    return this.#read(collection, (table) => chunks.vectorsOf(table, hashes));
  }

  sampleRows(collection: string, limit: number): Promise<SampledRow[]> {
    return this.#readVisible(collection, {}, (table, condition) =>
      chunks.sampleOf(table, { condition, limit }),
    );
  }

  searchDense(collection: string, vector: Float32Array, options: SearchOptions): Promise<ScoredChunk[]> {
    const { filter, limit } = options;
    return this.#readVisible(collection, filter, async (table, condition) => {
      chunks.checkDimensions(await chunks.readStamp(table, collection), vector);
      return chunks.nearestRows(table, vector, { condition, limit });
    });
  }

  searchLexical(collection: string, lexicalQuery: string, options: SearchOptions): Promise<ScoredChunk[]> {
    const { filter, limit } = options;
    const terms = queryTerms(lexicalQuery);
    return this.#readVisible(collection, filter, (table, condition) =>
      chunks.matchingRows(table, terms, { condition, limit }),
    );
  }

  readChunks(
    collection: string,
    where: { id: string } | { repo: string; path: string },
  ): Promise<StoredChunk[]> {
    const wanted =
      'id' in where
        ? `id = ${sqlString(where.id)}`
        : `repo = ${sqlString(where.repo)} AND path = ${sqlString(where.path)}`;
    return this.#readVisible(collection, {}, (table, condition) =>
      chunks.readRows(table, [wanted, condition]),
    );
  }

  countByRepo(collection: string): Promise<RepoCount[]> {
    return this.#readVisible(collection, {}, async (table, condition) => {
      // A scan of the whole table, and asked for by every open page of operations: kept until something changes.
      const { createdAt } = await chunks.readStamp(table, collection);
      const of = JSON.stringify([createdAt, await table.version(), condition]);
      const known = this.#counts.get(collection);
      const repos = known?.of === of ? known.repos : await chunks.countRowsByRepo(table, condition);
      this.#counts.set(collection, { of, repos });
      return repos.map((count) => ({ ...count }));
    });
  }

  sizeBytes(collection: string): Promise<number> {
    const folder = tableFolder(this.#options.path, TABLE_PREFIX + collection);
    return this.#read(collection, () => folderBytes(folder));
  }

  optimize(collection: string): Promise<void> {
    const { keepReplacedMs = DEFAULT_KEEP_REPLACED_MS, waitingRows = DEFAULT_WAITING_ROWS } = this.#options;
    return this.#write(collection, async (table) => {
      const deletedRows = this.#deleted.get(collection) ?? 0;
      if (await isWorthOptimizing(table, { waitingRows, deletedRows })) {
        await compact(table, keepReplacedMs);
        this.#deleted.delete(collection);
      }
      await compact(this.#runs.table, keepReplacedMs);
    });
  }

  async ping(): Promise<void> {
    await this.#guarded(null, () => tableNames(this.#options.path));
    await this.#guarded(null, () => this.#runs.hidden(''));
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#writes.values());
    const tables = await Promise.allSettled(this.#tables.values());
    for (const table of tables) if (table.status === 'fulfilled') table.value.close();
    this.#runs.table.close();
    this.#connection.close();
  }

  /** Rows and the runs that hide some of them, as of one moment. */
  #readVisible<T>(
    collection: string,
    filter: SearchFilter,
    read: (table: Table, condition: string | null) => Promise<T>,
  ): Promise<T> {
    return this.#read(collection, (table) =>
      readVisibly(
        () => this.#runs.hidden(collection),
        (hidden) => read(table, searchCondition(hidden, filter)),
      ),
    );
  }

  #read<T>(collection: string, work: (table: Table) => Promise<T>): Promise<T> {
    return this.#guarded(collection, async () => work(await this.#table(collection)));
  }

  /** One write after the other in this process; conflicts with other processes are tried again. */
  async #write<T>(collection: string, work: (table: Table) => Promise<T>): Promise<T> {
    const before = this.#writes.get(collection);
    const write = Promise.resolve(before)
      .catch(() => undefined)
      .then(() => this.#read(collection, (table) => retryingConflicts(() => work(table))));
    this.#writes.set(collection, write);
    return write;
  }

  #table(collection: string): Promise<Table> {
    const known = this.#tables.get(collection);
    if (known !== undefined) return known;
    const opening = this.#connection.openTable(TABLE_PREFIX + collection);
    this.#tables.set(collection, opening);
    return opening;
  }

  async #guarded<T>(collection: string | null, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (collection === null || error instanceof AppError) throw toStoreError(error);
      // Whatever failed, the next call starts with a fresh handle.
      this.#tables.delete(collection);
      throw isTableNotFound(error) ? collectionNotFound(collection, error) : toStoreError(error);
    }
  }
}

function otherSpace(existing: CollectionStamp, space: EmbeddingSpace): AppError {
  return new AppError(
    'space_mismatch',
    `The collection "${existing.name}" holds vectors of ${spaceId(existing.space)}, not of ${spaceId(space)}`,
  );
}

function nullIfDropped(error: unknown): null {
  if (error instanceof AppError && error.code === 'collection_not_found') return null;
  throw error;
}
