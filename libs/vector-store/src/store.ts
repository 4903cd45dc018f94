import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { SearchFilter } from '@embergate/contracts/http-search.ts';

/**
 * One chunk of source text with its vector.
 *
 * Rows are never changed in place: a re-index adds rows (`addedBy` its run) and marks rows (`removedBy` its run).
 * `id` is derived from everything a row says but its vector and its run marks, so the same chunk has the same id in every run.
 */
export interface ChunkRow {
  id: string;
  repo: string;
  path: string;
  language: string;
  /** Qualified name of the definition, such as `HttpServer.close`; empty for text windows. */
  symbol: string;
  startLine: number;
  endLine: number;
  text: string;
  /** sha256 (hex) of what was embedded: equal hash and equal space mean an equal vector. */
  embeddedHash: string;
  /** What full-text search reads: identifiers split, path and symbol included (see lexical-text.ts). */
  lexicalText: string;
  addedBy: string;
  removedBy: string | null;
  vector: Float32Array;
}

/** A row as a search returns it. */
export type StoredChunk = Pick<
  ChunkRow,
  'id' | 'repo' | 'path' | 'language' | 'symbol' | 'startLine' | 'endLine' | 'text'
>;

export interface ScoredChunk extends StoredChunk {
  /** Dense: cosine similarity. Lexical: BM25. Higher is better in both. */
  score: number;
}

/** A row with what was embedded and what came of it. */
export interface SampledRow extends StoredChunk {
  embeddedHash: string;
  vector: Float32Array;
}

/** What an incremental run compares with: one entry a row of a repo that no committed run removed. */
export interface ChunkStamp {
  id: string;
  path: string;
  addedBy: string;
  removedBy: string | null;
}

/** `swept`: committed, and what it removed has been deleted; the record only says when the repo was indexed. */
export type RunState = 'pending' | 'committed' | 'cancelled' | 'swept';

/**
 * The one small record of an index run. Its step from pending to committed publishes all of the run's work in one write.
 */
export interface RunRecord {
  id: string;
  collection: string;
  repo: string;
  state: RunState;
  commit: string | null;
  startedAt: string;
  finishedAt: string | null;
}

export interface CollectionStamp {
  name: string;
  space: EmbeddingSpace;
  createdAt: string;
}

export interface RepoCount {
  repo: string;
  chunks: number;
}

export interface SearchOptions {
  limit: number;
  filter: SearchFilter;
}

/**
 * Where chunks live. Every adapter passes the suite in conformance.ts.
 *
 * Visibility: a row is visible when `addedBy` is not a pending or cancelled run and `removedBy` is not a committed run. Searches
 * and counts see visible rows only. Runs that have been swept have no record any more; a row added by one is visible.
 *
 * Errors: `collection_not_found` (404) for an unknown collection, `space_mismatch` (409) for another space or a vector
 * of another dimension, `store_down` (503) when the store cannot be reached in time, `storage_full` (503) when it cannot write.
 */
export interface VectorStore {
  /** Name of the adapter: `lancedb`, `qdrant`. */
  readonly name: string;

  /** Creates the collection, or checks that the one that exists carries the same space. Idempotent, safe when called concurrently. */
  ensureCollection(name: string, space: EmbeddingSpace): Promise<CollectionStamp>;
  listCollections(): Promise<CollectionStamp[]>;
  getCollection(name: string): Promise<CollectionStamp>;
  /** Drops rows, runs and stamp. */
  dropCollection(name: string): Promise<void>;

  /** Writes a run's record (insert or replace) in one atomic step. */
  putRun(run: RunRecord): Promise<void>;
  listRuns(collection: string): Promise<RunRecord[]>;
  deleteRun(collection: string, runId: string): Promise<void>;

  /**
   * Inserts rows, replacing rows of the same id. The caller bounds the batch (a few thousand rows at most). A row that
   * is visible must not be written again by a pending run: it would be hidden until that run is committed.
   */
  upsertRows(collection: string, rows: ChunkRow[]): Promise<void>;
  /** Sets `removedBy` on the rows with these ids. Unknown ids are ignored. */
  markRemoved(collection: string, ids: string[], runId: string): Promise<void>;
  /** Undoes {@link markRemoved} of a run that was cancelled. */
  clearRemovedMarks(collection: string, runId: string): Promise<void>;
  /** Deletes rows a cancelled run added, or a committed one removed. */
  deleteRows(collection: string, where: { addedBy: string } | { removedBy: string }): Promise<void>;

  /** All rows of a repo, whatever their visibility, in pages so that memory stays bounded. */
  stamps(collection: string, repo: string): AsyncIterable<ChunkStamp[]>;
  /** Vectors already known for these hashes, from any repo of the collection. At most a few thousand hashes a call. */
  vectorsByHash(collection: string, hashes: string[]): Promise<Map<string, Float32Array>>;
  /** Some of the visible rows, others each time where there are more than the limit (a few hundred at most). */
  sampleRows(collection: string, limit: number): Promise<SampledRow[]>;

  searchDense(collection: string, vector: Float32Array, options: SearchOptions): Promise<ScoredChunk[]>;
  /** `lexicalQuery` is the output of lexicalText() for the query. */
  searchLexical(collection: string, lexicalQuery: string, options: SearchOptions): Promise<ScoredChunk[]>;
  /** Visible rows of a path between two lines, in line order; or by id. */
  readChunks(
    collection: string,
    where: { id: string } | { repo: string; path: string },
  ): Promise<StoredChunk[]>;
  countByRepo(collection: string): Promise<RepoCount[]>;
  /** Bytes on disk, or null where the store does not say. */
  sizeBytes(collection: string): Promise<number | null>;

  /**
   * Makes searches fast after many writes (compaction, full-text index), where it is worth its cost. Never changes what
   * a search sees. Best called before a run is committed, so that its rows are indexed when they become visible, and
   * after a sweep, so that their space is given back.
   */
  optimize(collection: string): Promise<void>;
  /** Rejects with `store_down` when a search could not be answered now. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
