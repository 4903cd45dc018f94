import type { RowVectors, VectorStore } from '@embergate/vector-store/store.ts';
import { textAtPath } from './embedded-text.ts';
import { chunkKey, embeddedHash, type ChunkIdentity } from './hash.ts';
import { LikePaths } from './like-paths.ts';
import type { RunChunks } from './run-chunks.ts';

/** A chunk that may have a vector already. */
export interface LookedUpChunk {
  identity: ChunkIdentity;
  embeddedText: string;
}

/** Earlier paths by whose texts a chunk is looked for in the store, where no row there is the very same chunk. */
const PATHS_BY_TEXT = 4;

/** Where the vector of a chunk may be found that has no row yet, by the hash of its text. */
interface EarlierPlaces {
  hash: string;
  /** Of the row of the very same chunk at another path. */
  rowId: string | null;
  /** Of its text at other paths. */
  hashes: string[];
}

/**
 * Vectors that need not be made: those of the same text, from any repo of the collection, and for what is in a file that was moved or renamed
 * those it had there. The path is part of what is embedded, so such a chunk keeps a vector that knows its earlier path, and its row says so
 * by its `embeddedHash`, until a full run makes it anew.
 */
export class KnownVectors {
  readonly #store: VectorStore;
  readonly #collection: string;
  readonly #chunks: RunChunks;
  readonly #gone: LikePaths | null;

  /** @param chunks read from the store, with the paths that the source has. */
  constructor(store: VectorStore, collection: string, chunks: RunChunks) {
    this.#store = store;
    this.#collection = collection;
    this.#chunks = chunks;
    this.#gone = chunks.gonePaths.size > 0 ? new LikePaths(chunks.gonePaths) : null;
  }

  /** @returns by the hash of what the model would read now; each says what it read when the vector was made. */
  async of(chunks: readonly LookedUpChunk[]): Promise<Map<string, RowVectors>> {
    if (chunks.length === 0) return new Map();
    const byHash = new Map(chunks.map((chunk) => [chunk.identity.embeddedHash, chunk]));
    const known = await this.#byHash([...byHash.keys()]);
    if (!this.#gone) return known;
    const unknown = [...byHash.values()].filter(({ identity }) => !known.has(identity.embeddedHash));
    for (const [hash, vectors] of await this.#ofMoved(unknown, this.#gone)) known.set(hash, vectors);
    return known;
  }

  async #byHash(hashes: string[]): Promise<Map<string, RowVectors>> {
    const found = await this.#store.vectorsByHash(this.#collection, hashes);
    return new Map([...found].map(([hash, vectors]) => [hash, { embeddedHash: hash, ...vectors }]));
  }

  /** Those that the chunks had at a path that is gone. */
  async #ofMoved(chunks: readonly LookedUpChunk[], gone: LikePaths): Promise<Map<string, RowVectors>> {
    const places = chunks.map((chunk) => this.#earlierPlaces(chunk, gone));
    const byId = await this.#store.vectorsById(
      this.#collection,
      places.flatMap(({ rowId }) => rowId ?? []),
    );
    const byHash = await this.#byHash([...new Set(places.flatMap(({ hashes }) => hashes))]);
    const known = new Map<string, RowVectors>();
    for (const { hash, rowId, hashes } of places) {
      const vectors =
        rowId === null ? hashes.map((other) => byHash.get(other)).find(Boolean) : byId.get(rowId);
      if (vectors) known.set(hash, vectors);
    }
    return known;
  }

  /** A row that is the same chunk need not have been embedded at its path, as it may have been moved before: its id finds its vector. */
  #earlierPlaces({ identity, embeddedText }: LookedUpChunk, gone: LikePaths): EarlierPlaces {
    const places = gone.of(identity.path).map((path) => {
      const hash = embeddedHash(textAtPath(embeddedText, { from: identity.path, to: path }));
      return { hash, key: chunkKey({ ...identity, path, embeddedHash: hash }) };
    });
    const same = places.find(({ key }) => this.#chunks.isVisible(key));
    const hash = identity.embeddedHash;
    if (same) return { hash, rowId: this.#chunks.visibleId(same.key), hashes: [] };
    return { hash, rowId: null, hashes: places.slice(0, PATHS_BY_TEXT).map((place) => place.hash) };
  }
}
