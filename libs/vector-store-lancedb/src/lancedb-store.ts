import { mkdir } from 'node:fs/promises';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { queryTerms } from '@embergate/vector-store/lexical-text.ts';
import { rowsPerPage } from '@embergate/vector-store/pages.ts';
import { readableStamps } from '@embergate/vector-store/readable-stamps.ts';
import { checkDimensions, checkSpaceId, checkSpaces, checkVectors } from '@embergate/vector-store/spaces.ts';
import type {
  ChunkRow,
  ChunkStamp,
  ChunkVectors,
  CollectionSpaces,
  CollectionStamp,
  DenseSearchOptions,
  OnUnreadable,
  RepoCount,
  RowVectors,
  RunRecord,
  SampledRow,
  ScoredChunk,
  SearchOptions,
  StoredChunk,
  Successor,
  VectorStore,
  VisibleRow,
} from '@embergate/vector-store/store.ts';
import { isSuccessorName, refuseRunsOfSuccessors } from '@embergate/vector-store/successor.ts';
import { connectBounded, type CacheSizes } from './bounded-connection.ts';
import * as chunks from './chunk-table.ts';
import * as vectors from './chunk-vectors.ts';
import { CollectionTables, type FolderTables } from './collection-tables.ts';
import { toStoreError } from './failures.ts';
import { allowMissingVectors, compact, keepUp } from './maintenance.ts';
import { Pointers } from './pointers.ts';
import { RepoCounts } from './repo-counts.ts';
import { toArrowTable } from './rows.ts';
import { RunRecords } from './run-records.ts';
import { sqlIn, sqlString, WITHOUT_VECTOR } from './sql.ts';
import { TableCollections } from './table-collections.ts';
import { folderBytes, tableFolder, tableNames } from './table-folders.ts';

export interface LanceDbStoreOptions {
  /** Folder of the tables; made when it is not there. Several processes may open it at the same time. */
  path: string;
  /** How long optimize() keeps data that has been replaced, for readers that still use it. Default: two minutes. */
  keepReplacedMs?: number;
  /** Rows that may wait for the full-text index: with fewer, optimize() leaves the table as it is. Default: it grows with the table. */
  waitingRows?: number;
  /** Default: 512 MiB of indexes, 128 MiB of all else, for searches. */
  caches?: CacheSizes;
}

const DEFAULT_KEEP_REPLACED_MS = 120_000;
/** More would be too much beside a model on one machine. */
const SEARCH_CACHES: CacheSizes = { indexBytes: 512n * 1024n * 1024n, metadataBytes: 128n * 1024n * 1024n };

/**
 * The embedded vector store: LanceDB tables in a folder, no server. One table a collection, its stamp in the table's
 * schema, and for all of them a small table of run records and one of pointers to tables that took another one's place. Vectors are searched exactly, without an index of neighbours.
 *
 * Throws `storage_full` when the folder cannot be made or written, `store_down` when it cannot be read.
 */
export async function createLanceDbStore(options: LanceDbStoreOptions): Promise<VectorStore> {
  try {
    await mkdir(options.path, { recursive: true });
    const { path, caches = SEARCH_CACHES } = options;
    const { connection } = await connectBounded(path, caches);
    const runs = await RunRecords.open(path, connection);
    const pointers = await Pointers.open(path, connection);
    return new LanceDbStore({ path, connection, runs, pointers }, options);
  } catch (error) {
    throw toStoreError(error);
  }
}

class LanceDbStore implements VectorStore {
  readonly name = 'lancedb';
  readonly #folder: FolderTables;
  readonly #tables: CollectionTables;
  readonly #collections: TableCollections;
  readonly #options: LanceDbStoreOptions;
  /** Rows that this process deleted since the collection was last optimized. */
  readonly #deleted = new Map<string, number>();
  readonly #counts = new RepoCounts();

  constructor(folder: FolderTables, options: LanceDbStoreOptions) {
    this.#folder = folder;
    this.#tables = new CollectionTables(folder);
    this.#collections = new TableCollections(folder, this.#tables);
    this.#options = options;
  }

  async ensureCollection(
    name: string,
    space: EmbeddingSpace,
    secondSpace?: EmbeddingSpace | null,
  ): Promise<CollectionStamp> {
    // A successor that was dropped stays dropped, though somebody goes on with it.
    if (!isSuccessorName(name)) {
      await this.#collections.create(name, { space, secondSpace: secondSpace ?? null });
    }
    const existing = await this.getCollection(name);
    checkSpaces(existing, { space, secondSpace });
    return existing;
  }

  async listCollections(onUnreadable?: OnUnreadable): Promise<CollectionStamp[]> {
    const stampOf = (name: string): Promise<CollectionStamp> => this.getCollection(name);
    return readableStamps(await this.#collections.list(), { stampOf, onUnreadable });
  }

  getCollection(name: string): Promise<CollectionStamp> {
    return this.#collections.stampOf(name);
  }

  dropCollection(name: string): Promise<void> {
    return this.#collections.drop(name);
  }

  createSuccessor(name: string, id: string, spaces: CollectionSpaces): Promise<'building' | 'replaced'> {
    return this.#collections.createSuccessor(name, id, spaces);
  }

  replaceBySuccessor(name: string, id: string): Promise<void> {
    return this.#collections.replaceBySuccessor(name, id);
  }

  dropSuccessor(name: string, id: string): Promise<'dropped' | 'replaced'> {
    return this.#collections.dropSuccessor(name, id);
  }

  listSuccessors(): Promise<Successor[]> {
    return this.#collections.listSuccessors();
  }

  removeReplaced(olderThanMs: number): Promise<void> {
    return this.#collections.removeReplaced(olderThanMs);
  }

  async putRun(run: RunRecord): Promise<void> {
    refuseRunsOfSuccessors(run.collection);
    await this.#tables.read(run.collection, () => this.#folder.runs.put(run));
  }

  listRuns(collection: string): Promise<RunRecord[]> {
    return this.#tables.read(collection, () => this.#folder.runs.list(collection));
  }

  deleteRun(collection: string, runId: string): Promise<void> {
    return this.#tables.read(collection, () => this.#folder.runs.delete(collection, runId));
  }

  upsertRows(collection: string, rows: ChunkRow[]): Promise<void> {
    return this.#tables.write(collection, async (table) => {
      const stamp = await chunks.readStamp(table, collection);
      for (const row of rows) checkVectors(stamp, row);
      // Of two rows with the same id in one batch the later one counts; LanceDB would keep both.
      const distinct = [...new Map(rows.map((row) => [row.id, row])).values()];
      if (distinct.length === 0) return;
      if (distinct.some(({ vector }) => vector === null)) await allowMissingVectors(table);
      const merge = table.mergeInsert('id').whenMatchedUpdateAll().whenNotMatchedInsertAll();
      // By the index of ids LanceDB would read whole rows, vectors included, of what it does not hold yet, and let two writers insert the same
      // id; without it, it reads all ids and nothing else, and sees such a conflict (KEY_COLUMN).
      await merge.useIndex(false).execute(toArrowTable(distinct, stamp));
    });
  }

  async markRemoved(collection: string, ids: string[], runId: string): Promise<void> {
    for (let start = 0; start < ids.length; start += chunks.VALUES_PER_QUERY) {
      const where = sqlIn('id', ids.slice(start, start + chunks.VALUES_PER_QUERY));
      await this.#tables.write(collection, (table) => table.update({ where, values: { removedBy: runId } }));
    }
  }

  async clearRemovedMarks(collection: string, runId: string): Promise<void> {
    const change = { where: `removedBy = ${sqlString(runId)}`, valuesSql: { removedBy: 'NULL' } };
    await this.#tables.write(collection, (table) => table.update(change));
  }

  async deleteRows(collection: string, where: { addedBy: string } | { removedBy: string }): Promise<void> {
    const condition =
      'addedBy' in where
        ? `addedBy = ${sqlString(where.addedBy)}`
        : `removedBy = ${sqlString(where.removedBy)}`;
    const { numDeletedRows } = await this.#tables.write(collection, (table) => table.delete(condition));
    this.#deleted.set(collection, (this.#deleted.get(collection) ?? 0) + numDeletedRows);
  }

  stamps(collection: string, repo: string): AsyncGenerator<ChunkStamp[]> {
    return this.#tables.pages(collection, (table) => chunks.stampPages(table, repo));
  }

  unembedded(collection: string, runId: string): AsyncGenerator<string[]> {
    return this.#tables.pages(collection, (table) => vectors.unembeddedPages(table, runId));
  }

  vectorsByHash(collection: string, hashes: string[]): Promise<Map<string, ChunkVectors>> {
    return this.#tables.read(collection, async (table) =>
      vectors.vectorsByHash(table, await chunks.readStamp(table, collection), hashes),
    );
  }

  vectorsById(collection: string, ids: string[]): Promise<Map<string, RowVectors>> {
    return this.#tables.read(collection, async (table) =>
      vectors.vectorsById(table, await chunks.readStamp(table, collection), ids),
    );
  }

  sampleRows(collection: string, limit: number): Promise<SampledRow[]> {
    return this.#tables.readVisible(collection, {}, async (table, condition) =>
      vectors.sampleOf(table, await chunks.readStamp(table, collection), { condition, limit }),
    );
  }

  /** Ids first and rows by their ids: a version of the table would not be kept for as long as the pages are read. */
  async *visibleRows(collection: string): AsyncGenerator<VisibleRow[]> {
    const ids = await this.#tables.readVisible(collection, {}, vectors.idsOf);
    const perPage = rowsPerPage(await this.getCollection(collection), Float32Array.BYTES_PER_ELEMENT);
    for (let start = 0; start < ids.length; start += perPage) {
      const some = ids.slice(start, start + perPage);
      yield* await this.#tables.read(collection, async (table) =>
        vectors.rowsOf(table, await chunks.readStamp(table, collection), some),
      );
    }
  }

  searchDense(collection: string, vector: Float32Array, options: DenseSearchOptions): Promise<ScoredChunk[]> {
    const { limit, space: which = 'first', spaceId } = options;
    return this.#tables.readVisible(collection, options, async (table, condition) => {
      const stamp = await chunks.readStamp(table, collection);
      checkSpaceId(stamp, which, spaceId);
      checkDimensions(stamp, vector, which);
      return chunks.nearestRows(table, vector, { condition, limit, which });
    });
  }

  searchLexical(collection: string, lexicalQuery: string, options: SearchOptions): Promise<ScoredChunk[]> {
    const { limit } = options;
    const terms = queryTerms(lexicalQuery);
    return this.#tables.readVisible(collection, options, (table, condition) =>
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
    return this.#tables.readVisible(collection, {}, (table, condition) =>
      chunks.readRows(table, [wanted, condition]),
    );
  }

  countByRepo(collection: string): Promise<RepoCount[]> {
    return this.#count(collection, null);
  }

  countUnembedded(collection: string): Promise<RepoCount[]> {
    return this.#count(collection, WITHOUT_VECTOR);
  }

  sizeBytes(collection: string): Promise<number> {
    const { path, pointers } = this.#folder;
    return this.#tables.read(collection, async () =>
      folderBytes(tableFolder(path, await pointers.tableOf(collection))),
    );
  }

  optimize(collection: string): Promise<void> {
    const { keepReplacedMs = DEFAULT_KEEP_REPLACED_MS, waitingRows } = this.#options;
    return this.#tables.write(collection, async (table) => {
      const deletedRows = this.#deleted.get(collection) ?? 0;
      const isCompacted = await keepUp(table, { waitingRows, deletedRows, keepMs: keepReplacedMs });
      if (isCompacted) this.#deleted.delete(collection);
      await compact(this.#folder.runs.table, keepReplacedMs);
      await compact(this.#folder.pointers.table, keepReplacedMs);
    });
  }

  #count(collection: string, which: string | null): Promise<RepoCount[]> {
    return this.#tables.readVisible(collection, {}, (table, condition) =>
      this.#counts.of(table, collection, { condition, which }),
    );
  }

  async ping(): Promise<void> {
    await this.#tables.guarded(null, () => tableNames(this.#options.path));
    await this.#tables.guarded(null, () => this.#folder.runs.hidden(''));
  }

  async close(): Promise<void> {
    await this.#tables.close();
    this.#folder.runs.table.close();
    this.#folder.pointers.table.close();
    this.#folder.connection.close();
  }
}
