import type { Schemas } from '@qdrant/js-client-rest';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { queryTerms } from '@embergate/vector-store/lexical-text.ts';
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
import type { HiddenRuns } from '@embergate/vector-store/visibility.ts';
import * as chunks from './chunk-points.ts';
import { checkExists, readStamp, waitForOptimizer } from './collections.ts';
import { connect, type QdrantConnection } from './connection.ts';
import { embeddedAmong, fieldIs, searchFilter } from './filters.ts';
import * as vectors from './point-vectors.ts';
import { batchesOf, DENSE, LEXICAL, pointId, pointOf, SECOND } from './points.ts';
import { rescoring, type Quantization } from './quantization.ts';
import { RemoteCalls } from './remote-calls.ts';
import { RemoteCollections } from './remote-collections.ts';
import * as runs from './run-points.ts';
import { checkServer } from './server-check.ts';
import { queryVector } from './sparse-vector.ts';

export interface QdrantStoreOptions extends QdrantConnection, Partial<Quantization> {}

const READ_TIMEOUT_MS = 10_000;
/** A start does not wait for a server that hangs. */
const START_TIMEOUT_MS = 5_000;
const WRITE_TIMEOUT_MS = 120_000;
const IDS_PER_REQUEST = 1_000;

/**
 * The vector store of a cluster: a Qdrant of 1.16 or newer. Each collection is one of Qdrant's with a dense vector
 * and a sparse one for BM25; run records lie in a collection of their own, and so do
 * pointers to collections that took another one's place. Does not connect before the first call.
 *
 * Throws `config_invalid` for a URL that is none.
 */
export function createQdrantStore(options: QdrantStoreOptions): VectorStore {
  const reading = connect(options, READ_TIMEOUT_MS);
  const writing = connect(options, WRITE_TIMEOUT_MS);
  const { quantization = 'none', oversampling = 1 } = options;
  return new QdrantStore(new RemoteCalls({ reading, writing }), { quantization, oversampling });
}

/** The same for a process that starts: looks first whether the server can be worked with. Throws `config_invalid`. */
export async function openQdrantStore(options: QdrantStoreOptions): Promise<VectorStore> {
  await checkServer(connect(options, START_TIMEOUT_MS), options.url);
  return createQdrantStore(options);
}

class QdrantStore implements VectorStore {
  readonly name = 'qdrant';
  readonly #calls: RemoteCalls;
  readonly #collections: RemoteCollections;
  readonly #quantization: Quantization;

  constructor(calls: RemoteCalls, quantization: Quantization) {
    this.#calls = calls;
    this.#quantization = quantization;
    this.#collections = new RemoteCollections(calls, quantization);
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
    const existing = await this.#collections.stampNow(name);
    checkSpaces(existing, { space, secondSpace });
    return existing;
  }

  listCollections(onUnreadable?: OnUnreadable): Promise<CollectionStamp[]> {
    return this.#collections.list(onUnreadable);
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
    await this.#whereThere(run.collection, () => runs.putRunPoint(this.#calls.writing, run));
  }

  listRuns(collection: string): Promise<RunRecord[]> {
    return this.#whereThere(collection, () => runs.readRunPoints(this.#calls.reading, collection));
  }

  deleteRun(collection: string, runId: string): Promise<void> {
    return this.#whereThere(collection, () => runs.deleteRunPoint(this.#calls.writing, collection, runId));
  }

  async upsertRows(collection: string, rows: ChunkRow[]): Promise<void> {
    const stamp = await this.#collections.stampNow(collection);
    for (const row of rows) checkVectors(stamp, row);
    // Of two rows with the same id in one batch the later one counts.
    const distinct = [...new Map(rows.map((row) => [row.id, row])).values()];
    for (const batch of batchesOf(distinct)) {
      await this.#calls.write(collection, (place) =>
        this.#calls.writing.upsert(place, { wait: true, points: batch.map(pointOf) }),
      );
    }
  }

  async markRemoved(collection: string, ids: string[], runId: string): Promise<void> {
    await this.#whereThere(collection);
    for (let start = 0; start < ids.length; start += IDS_PER_REQUEST) {
      // A filter, because a list of points is refused whole when one of them is unknown.
      const filter = { must: [{ has_id: ids.slice(start, start + IDS_PER_REQUEST).map(pointId) }] };
      const change = { wait: true, payload: { removedBy: runId }, filter };
      await this.#calls.write(collection, (place) => this.#calls.writing.setPayload(place, change));
    }
  }

  async clearRemovedMarks(collection: string, runId: string): Promise<void> {
    const change = { wait: true, keys: ['removedBy'], filter: { must: [fieldIs('removedBy', runId)] } };
    await this.#calls.write(collection, (place) => this.#calls.writing.deletePayload(place, change));
  }

  async deleteRows(collection: string, where: { addedBy: string } | { removedBy: string }): Promise<void> {
    const condition =
      'addedBy' in where ? fieldIs('addedBy', where.addedBy) : fieldIs('removedBy', where.removedBy);
    const selection = { wait: true, filter: { must: [condition] } };
    await this.#calls.write(collection, (place) => this.#calls.writing.delete(place, selection));
  }

  stamps(collection: string, repo: string): AsyncGenerator<ChunkStamp[]> {
    return this.#calls.pages(collection, (place) => chunks.stampPages(this.#calls.scrolling, place, repo));
  }

  unembedded(collection: string, runId: string): AsyncGenerator<string[]> {
    return this.#calls.pages(collection, (place) =>
      vectors.unembeddedPages(this.#calls.scrolling, place, runId),
    );
  }

  async vectorsByHash(collection: string, hashes: string[]): Promise<Map<string, ChunkVectors>> {
    const spaces = await this.#collections.stampNow(collection);
    return this.#calls.write(collection, (place) =>
      vectors.vectorsByHash(this.#calls.reading, place, { hashes, spaces }),
    );
  }

  async vectorsById(collection: string, ids: string[]): Promise<Map<string, RowVectors>> {
    const spaces = await this.#collections.stampNow(collection);
    return this.#calls.write(collection, (place) =>
      vectors.vectorsById(this.#calls.reading, place, { ids, spaces }),
    );
  }

  async sampleRows(collection: string, limit: number): Promise<SampledRow[]> {
    const spaces = await this.getCollection(collection);
    return this.#calls.readVisible(collection, (place, hidden) =>
      vectors.samplePoints(this.#calls.reading, place, { filter: searchFilter(hidden, {}), limit, spaces }),
    );
  }

  async *visibleRows(collection: string): AsyncGenerator<VisibleRow[]> {
    const spaces = await this.#collections.stampNow(collection);
    const hidden = await this.#calls.call(collection, () => this.#calls.hidden(collection));
    const filter = searchFilter(hidden, {});
    yield* this.#calls.pages(collection, (place) =>
      vectors.visiblePages(this.#calls.scrolling, place, { filter, spaces }),
    );
  }

  async searchDense(
    collection: string,
    vector: Float32Array,
    { space = 'first', spaceId, ...options }: DenseSearchOptions,
  ): Promise<ScoredChunk[]> {
    // Qdrant says itself that a vector is of another length, and would not say that there is no second space.
    if (space === 'second') checkDimensions(await this.getCollection(collection), vector, space);
    const query = Array.from(vector);
    const using = space === 'first' ? DENSE : SECOND;
    const how = rescoring(this.#quantization);
    const { reading } = this.#calls;
    // Beside the search, so that it costs no time: the place's own stamp, whatever the name meant a moment ago.
    const check = async (place: string): Promise<void> =>
      spaceId === undefined
        ? undefined
        : checkSpaceId(await readStamp(reading, place, collection), space, spaceId);
    const read = async (place: string, hidden: HiddenRuns): Promise<ScoredChunk[]> => {
      const ranking = chunks.rankPoints(reading, place, { query, using, hidden, options, ...how });
      const [ranked] = await Promise.all([ranking, check(place)]);
      return ranked;
    };
    return this.#calls.readVisible(collection, read, options);
  }

  async searchLexical(
    collection: string,
    lexicalQuery: string,
    options: SearchOptions,
  ): Promise<ScoredChunk[]> {
    const query = queryVector(queryTerms(lexicalQuery));
    if (query.indices.length === 0) {
      await this.#whereThere(collection);
      return [];
    }
    const read = (place: string, hidden: HiddenRuns): Promise<ScoredChunk[]> =>
      chunks.rankPoints(this.#calls.reading, place, { query, using: LEXICAL, hidden, options });
    return this.#calls.readVisible(collection, read, options);
  }

  readChunks(
    collection: string,
    where: { id: string } | { repo: string; path: string },
  ): Promise<StoredChunk[]> {
    const wanted =
      'id' in where
        ? [{ has_id: [pointId(where.id)] }]
        : [fieldIs('repo', where.repo), fieldIs('path', where.path)];
    return this.#calls.readVisible(collection, (place, hidden) => {
      const filter: Schemas['Filter'] = { ...searchFilter(hidden, {}), must: wanted };
      return chunks.readPoints(this.#calls.reading, place, filter);
    });
  }

  countByRepo(collection: string): Promise<RepoCount[]> {
    return this.#calls.readVisible(collection, (place, hidden) =>
      chunks.countPointsByRepo(this.#calls.reading, place, searchFilter(hidden, {})),
    );
  }

  countUnembedded(collection: string): Promise<RepoCount[]> {
    return this.#calls.readVisible(collection, (place, hidden) => {
      const filter = embeddedAmong(searchFilter(hidden, {}), false);
      return chunks.countPointsByRepo(this.#calls.reading, place, filter);
    });
  }

  /** Always null: Qdrant does not say. */
  async sizeBytes(collection: string): Promise<null> {
    await this.#whereThere(collection);
    return null;
  }

  /** Qdrant's own optimizer runs behind every write: waits for it, for a while. */
  optimize(collection: string): Promise<void> {
    return this.#calls.write(collection, (place) => waitForOptimizer(this.#calls.reading, place, collection));
  }

  async ping(): Promise<void> {
    await this.#calls.call(null, () => this.#calls.reading.getCollections());
  }

  /** Connections that are idle close by themselves. */
  async close(): Promise<void> {}

  /** What is not asked of the collection's own points, and shall fail where the collection is not there. */
  #whereThere(collection: string): Promise<void>;
  #whereThere<T>(collection: string, request: () => Promise<T>): Promise<T>;
  #whereThere<T>(collection: string, request?: () => Promise<T>): Promise<T | void> {
    return this.#calls.read(collection, async (place) => {
      await checkExists(this.#calls.reading, place, collection);
      return request?.();
    });
  }
}
