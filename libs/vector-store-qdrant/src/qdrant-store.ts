import { QdrantClient, type Schemas } from '@qdrant/js-client-rest';
import { AppError } from '@embergate/contracts/errors.ts';
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
import { hiddenRuns, readVisibly, type HiddenRuns } from '@embergate/vector-store/visibility.ts';
import * as chunks from './chunk-points.ts';
import { checkExists, createChunkCollection, listStamps, readStamp, remoteName } from './collections.ts';
import { parseEndpoint } from './endpoint.ts';
import { collectionNotFound, retrying, toStoreError } from './failures.ts';
import { fieldIs, searchFilter } from './filters.ts';
import { batchesOf, DENSE, LEXICAL, pointId, pointOf } from './points.ts';
import * as runs from './run-points.ts';
import { queryVector } from './sparse-vector.ts';

export interface QdrantStoreOptions {
  /** http(s)://host[:port][/path] */
  url: string;
  apiKey?: string | undefined;
}

const READ_TIMEOUT_MS = 10_000;
const WRITE_TIMEOUT_MS = 120_000;
const IDS_PER_REQUEST = 1_000;

/**
 * The vector store of a cluster: a Qdrant of 1.16 or newer. Each collection is one of Qdrant's with a dense vector
 * and a sparse one for BM25; run records lie in a collection of their own. Does not connect before the first call.
 *
 * Throws `config_invalid` for a URL that is none.
 */
export function createQdrantStore(options: QdrantStoreOptions): VectorStore {
  const connect = (timeout: number): QdrantClient =>
    new QdrantClient({
      ...parseEndpoint(options.url),
      timeout,
      // The client would ask for the server's version behind our back, and print what it thinks of it.
      checkCompatibility: false,
      // As a header: given as `apiKey`, the client prints a warning where the connection is not https.
      ...(options.apiKey !== undefined && { headers: { 'api-key': options.apiKey } }),
    });
  return new QdrantStore(connect(READ_TIMEOUT_MS), connect(WRITE_TIMEOUT_MS));
}

class QdrantStore implements VectorStore {
  readonly name = 'qdrant';
  readonly #reading: QdrantClient;
  readonly #writing: QdrantClient;

  constructor(reading: QdrantClient, writing: QdrantClient) {
    this.#reading = reading;
    this.#writing = writing;
  }

  async ensureCollection(name: string, space: EmbeddingSpace): Promise<CollectionStamp> {
    const stamp = { name, space, createdAt: new Date().toISOString() };
    const existing = await this.#call(name, async () => {
      await runs.createRunsCollection(this.#writing);
      await createChunkCollection(this.#writing, stamp);
      return readStamp(this.#reading, name);
    });
    if (spaceId(existing.space) === spaceId(space)) return existing;
    throw new AppError(
      'space_mismatch',
      `The collection "${name}" holds vectors of ${spaceId(existing.space)}, not of ${spaceId(space)}`,
    );
  }

  listCollections(): Promise<CollectionStamp[]> {
    return this.#call(null, () => listStamps(this.#reading));
  }

  getCollection(name: string): Promise<CollectionStamp> {
    return this.#call(name, () => readStamp(this.#reading, name));
  }

  dropCollection(name: string): Promise<void> {
    return this.#call(name, async () => {
      const dropped = await this.#writing.deleteCollection(remoteName(name));
      if (!dropped) throw collectionNotFound(name);
      await runs.deleteRunPoints(this.#writing, name);
    });
  }

  putRun(run: RunRecord): Promise<void> {
    return this.#call(run.collection, async () => {
      await checkExists(this.#reading, run.collection);
      await runs.putRunPoint(this.#writing, run);
    });
  }

  listRuns(collection: string): Promise<RunRecord[]> {
    return this.#call(collection, async () => {
      await checkExists(this.#reading, collection);
      return runs.readRunPoints(this.#reading, collection);
    });
  }

  deleteRun(collection: string, runId: string): Promise<void> {
    return this.#call(collection, async () => {
      await checkExists(this.#reading, collection);
      await runs.deleteRunPoint(this.#writing, collection, runId);
    });
  }

  async upsertRows(collection: string, rows: ChunkRow[]): Promise<void> {
    const stamp = await this.getCollection(collection);
    for (const row of rows) checkDimensions(stamp, row.vector);
    // Of two rows with the same id in one batch the later one counts.
    const distinct = [...new Map(rows.map((row) => [row.id, row])).values()];
    for (const batch of batchesOf(distinct)) {
      await this.#call(collection, () =>
        this.#writing.upsert(remoteName(collection), { wait: true, points: batch.map(pointOf) }),
      );
    }
  }

  async markRemoved(collection: string, ids: string[], runId: string): Promise<void> {
    await this.#call(collection, () => checkExists(this.#reading, collection));
    for (let start = 0; start < ids.length; start += IDS_PER_REQUEST) {
      // A filter, because a list of points is refused whole when one of them is unknown.
      const filter = { must: [{ has_id: ids.slice(start, start + IDS_PER_REQUEST).map(pointId) }] };
      const change = { wait: true, payload: { removedBy: runId }, filter };
      await this.#call(collection, () => this.#writing.setPayload(remoteName(collection), change));
    }
  }

  async clearRemovedMarks(collection: string, runId: string): Promise<void> {
    const change = { wait: true, keys: ['removedBy'], filter: { must: [fieldIs('removedBy', runId)] } };
    await this.#call(collection, () => this.#writing.deletePayload(remoteName(collection), change));
  }

  async deleteRows(collection: string, where: { addedBy: string } | { removedBy: string }): Promise<void> {
    const condition =
      'addedBy' in where ? fieldIs('addedBy', where.addedBy) : fieldIs('removedBy', where.removedBy);
    const selection = { wait: true, filter: { must: [condition] } };
    await this.#call(collection, () => this.#writing.delete(remoteName(collection), selection));
  }

  async *stamps(collection: string, repo: string): AsyncGenerator<ChunkStamp[]> {
    const pages = chunks.stampPages(this.#reading, remoteName(collection), repo);
    try {
      yield* pages;
    } catch (error) {
      throw toStoreError(error, collection);
    }
  }

  async vectorsByHash(collection: string, hashes: string[]): Promise<Map<string, Float32Array>> {
    const { dimensions } = (await this.getCollection(collection)).space;
    return this.#call(collection, () =>
      chunks.vectorsOf(this.#reading, remoteName(collection), { hashes, dimensions }),
    );
  }

  sampleRows(collection: string, limit: number): Promise<SampledRow[]> {
    return this.#readVisible(collection, (hidden) =>
      chunks.samplePoints(this.#reading, remoteName(collection), { filter: searchFilter(hidden, {}), limit }),
    );
  }

  searchDense(collection: string, vector: Float32Array, options: SearchOptions): Promise<ScoredChunk[]> {
    return this.#readVisible(collection, (hidden) =>
      chunks.rankPoints(this.#reading, remoteName(collection), {
        query: Array.from(vector),
        using: DENSE,
        hidden,
        options,
      }),
    );
  }

  async searchLexical(
    collection: string,
    lexicalQuery: string,
    options: SearchOptions,
  ): Promise<ScoredChunk[]> {
    const query = queryVector(queryTerms(lexicalQuery));
    if (query.indices.length === 0) {
      await this.#call(collection, () => checkExists(this.#reading, collection));
      return [];
    }
    return this.#readVisible(collection, (hidden) =>
      chunks.rankPoints(this.#reading, remoteName(collection), { query, using: LEXICAL, hidden, options }),
    );
  }

  readChunks(
    collection: string,
    where: { id: string } | { repo: string; path: string },
  ): Promise<StoredChunk[]> {
    const wanted =
      'id' in where
        ? [{ has_id: [pointId(where.id)] }]
        : [fieldIs('repo', where.repo), fieldIs('path', where.path)];
    return this.#readVisible(collection, (hidden) => {
      const filter: Schemas['Filter'] = { ...searchFilter(hidden, {}), must: wanted };
      return chunks.readPoints(this.#reading, remoteName(collection), filter);
    });
  }

  countByRepo(collection: string): Promise<RepoCount[]> {
    return this.#readVisible(collection, (hidden) =>
      chunks.countPointsByRepo(this.#reading, remoteName(collection), searchFilter(hidden, {})),
    );
  }

  /** Always null: Qdrant does not say. */
  async sizeBytes(collection: string): Promise<null> {
    await this.#call(collection, () => checkExists(this.#reading, collection));
    return null;
  }

  /** Nothing to do: Qdrant's own optimizer runs behind every write. */
  optimize(collection: string): Promise<void> {
    return this.#call(collection, () => checkExists(this.#reading, collection));
  }

  async ping(): Promise<void> {
    await this.#call(null, () => this.#reading.getCollections());
  }

  /** Connections that are idle close by themselves. */
  async close(): Promise<void> {}

  #readVisible<T>(collection: string, read: (hidden: HiddenRuns) => Promise<T>): Promise<T> {
    return this.#call(collection, () =>
      readVisibly(async () => hiddenRuns(await runs.readRunPoints(this.#reading, collection)), read),
    );
  }

  /** `collection`: the one that a 404 speaks of. */
  async #call<T>(collection: string | null, request: () => Promise<T>): Promise<T> {
    try {
      return await retrying(request);
    } catch (error) {
      throw toStoreError(error, collection);
    }
  }
}

function checkDimensions(stamp: CollectionStamp, vector: Float32Array): void {
  if (vector.length === stamp.space.dimensions) return;
  throw new AppError(
    'space_mismatch',
    `The collection "${stamp.name}" holds vectors of ${stamp.space.dimensions} dimensions, this one has ${vector.length}`,
  );
}
