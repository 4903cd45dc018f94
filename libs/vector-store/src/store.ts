import type { AppError } from '@embergate/contracts/errors.ts';
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
  /**
   * sha256 (hex) of what was embedded: equal hash and equal space mean an equal vector. Of a file that was moved it may be what was embedded
   * at its earlier path.
   */
  embeddedHash: string;
  /** What full-text search reads: identifiers split, path and symbol included (see lexical-text.ts). */
  lexicalText: string;
  addedBy: string;
  removedBy: string | null;
  /** Null while there is none yet: full text finds the row, and dense search does not. */
  vector: Float32Array | null;
  /** Of the collection's second space; null where the collection has none, and where `vector` is null. */
  secondVector: Float32Array | null;
}

/** What was made of one text: a vector in each of the collection's spaces. */
export interface ChunkVectors {
  vector: Float32Array;
  secondVector: Float32Array | null;
}

/** The same as a row holds it, which says of which text it was made. */
export interface RowVectors extends ChunkVectors {
  embeddedHash: string;
}

/** A row as it can be written to another collection; lexicalDocument() makes its `lexicalText`, which Qdrant does not keep. */
export interface VisibleRow extends Omit<ChunkRow, 'lexicalText'> {
  /** Whether full text finds it. */
  lexical: boolean;
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
export interface SampledRow extends StoredChunk, RowVectors {}

/** What an incremental run compares with: one entry a row of a repo that no committed run removed. */
export interface ChunkStamp {
  id: string;
  path: string;
  addedBy: string;
  removedBy: string | null;
}

/**
 * `embedding`: the first run of a repo, whose rows are seen though some of them have no vector yet; what it removed is seen too.
 * `swept`: committed, and what it removed has been deleted; the record only says when the repo was indexed.
 */
export type RunState = 'pending' | 'embedding' | 'committed' | 'cancelled' | 'swept';

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

/** The spaces of a collection's vectors: each row has one of every space, in a field of its own. */
export interface CollectionSpaces {
  space: EmbeddingSpace;
  secondSpace: EmbeddingSpace | null;
}

export interface CollectionStamp extends CollectionSpaces {
  name: string;
  createdAt: string;
}

/** A collection that is being written to take the place of another one. */
export interface Successor {
  name: string;
  id: string;
  createdAt: string;
}

export interface RepoCount {
  repo: string;
  chunks: number;
}

export interface SearchOptions {
  limit: number;
  filter: SearchFilter;
  /** A run that counts as committed, whatever its record says: what searches will see, before they do. */
  asIfCommitted?: string | undefined;
  /** Told as of which state of the collection's runs the rows were read: two searches with the same word saw the same ones published. */
  onAsOf?: (state: string) => void;
}

export interface DenseSearchOptions extends SearchOptions {
  /** Which of the collection's spaces the vector is of. Default: the first. */
  space?: 'first' | 'second';
  /** That space's id: where the collection has moved since it was asked, `space_mismatch`, also between spaces of equal dimension. */
  spaceId?: string;
}

/** Told of a collection that is there and cannot be read. */
export type OnUnreadable = (name: string, error: AppError) => void;

/**
 * Where chunks live. Every adapter passes the suite in conformance.ts.
 *
 * Visibility: a row is visible when `addedBy` is not a pending or cancelled run and `removedBy` is not a committed run. Searches
 * and counts see visible rows only. Of runs that have been swept only the last one of a repo keeps its record; what one added is visible.
 *
 * Errors: `collection_not_found` (404) for an unknown collection, `space_mismatch` (409) for another space, one that
 * the collection does not have, or a vector of another dimension, `store_down` (503) when the store cannot be reached in time, `storage_full` (503) when it cannot write.
 */
export interface VectorStore {
  /** Name of the adapter: `lancedb`, `qdrant`. */
  readonly name: string;

  /**
   * Creates the collection, or checks that the one that exists carries the same spaces. Idempotent, safe when called
   * concurrently. Without `secondSpace` an existing one may have any or none, and a new one has none; null asks for none.
   */
  ensureCollection(
    name: string,
    space: EmbeddingSpace,
    secondSpace?: EmbeddingSpace | null,
  ): Promise<CollectionStamp>;
  /** @param onUnreadable told of each that is there and cannot be read; without it, that is thrown. */
  listCollections(onUnreadable?: OnUnreadable): Promise<CollectionStamp[]>;
  getCollection(name: string): Promise<CollectionStamp>;
  /** Drops rows, runs, stamp and successors. */
  dropCollection(name: string): Promise<void>;

  /**
   * Makes an empty collection beside an existing one, to take its place in one step when it is filled. Until then it is
   * read and written under successorName(name, id), by the methods that take a collection, and is in no list. It has no
   * runs: all that is written to it is meant to be seen. It and the next four can be repeated with the same id.
   *
   * @param id 1 to 64 letters, digits, "_" or "-", never used again for another successor of that collection.
   * @returns `replaced` when this successor has taken the place already: there is nothing to write any more.
   */
  createSuccessor(name: string, id: string, spaces: CollectionSpaces): Promise<'building' | 'replaced'>;
  /**
   * From here on the name means the successor, in other processes within a second. No search fails meanwhile: one that
   * has begun reads what was replaced, which stays until removeReplaced(). The run records are those of the name and
   * stay, so the caller sees to it that no run is pending.
   */
  replaceBySuccessor(name: string, id: string): Promise<void>;
  /**
   * Drops a successor that shall not take the place, and is content where none is there.
   * @returns `replaced` when it has taken the place, and is left alone.
   */
  dropSuccessor(name: string, id: string): Promise<'dropped' | 'replaced'>;
  /** Those that have not taken a place yet, of all collections. */
  listSuccessors(): Promise<Successor[]>;
  /** Drops what was replaced at least that long ago; searches that began before may still read what is younger. */
  removeReplaced(olderThanMs: number): Promise<void>;

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
  /** Ids of the rows that a run added and that have no vector yet, in pages; whatever their visibility. */
  unembedded(collection: string, runId: string): AsyncIterable<string[]>;
  /** Vectors already known for these hashes, from any repo of the collection. At most a few thousand hashes a call. */
  vectorsByHash(collection: string, hashes: string[]): Promise<Map<string, ChunkVectors>>;
  /** Vectors of the rows with these ids, whatever their visibility; what is unknown, or has none, is left out. At most a few thousand ids a call. */
  vectorsById(collection: string, ids: string[]): Promise<Map<string, RowVectors>>;
  /** Some of the visible rows that have a vector, others each time where there are more than the limit (a few hundred at most). */
  sampleRows(collection: string, limit: number): Promise<SampledRow[]>;

  /**
   * All rows that are visible when it begins, with text and vectors, in pages of at most 256 rows and a few MB (but for a
   * row that is larger by itself). It may be read for hours: rows that are deleted meanwhile are left out, rows that are
   * added are not in it.
   */
  visibleRows(collection: string): AsyncIterable<VisibleRow[]>;

  searchDense(collection: string, vector: Float32Array, options: DenseSearchOptions): Promise<ScoredChunk[]>;
  /** `lexicalQuery` is the output of lexicalText() for the query. */
  searchLexical(collection: string, lexicalQuery: string, options: SearchOptions): Promise<ScoredChunk[]>;
  /** Visible rows of a path between two lines, in line order; or by id. */
  readChunks(
    collection: string,
    where: { id: string } | { repo: string; path: string },
  ): Promise<StoredChunk[]>;
  countByRepo(collection: string): Promise<RepoCount[]>;
  /** Visible rows without a vector; repos where all have one are left out. */
  countUnembedded(collection: string): Promise<RepoCount[]>;
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
