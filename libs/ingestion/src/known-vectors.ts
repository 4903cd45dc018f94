import type { RowVectors, VectorStore } from '@embergate/vector-store/store.ts';
import { textAtPath } from './embedded-text.ts';
import { chunkKey, embeddedHash, type ChunkIdentity } from './hash.ts';
import { LikePaths } from './like-paths.ts';
import type { RunChunks } from './run-chunks.ts';

/** A chunk that has no row yet, and may have a vector. */
export interface LookedUpChunk {
  key: string;
  identity: ChunkIdentity;
  embeddedText: string;
}

/** Earlier paths by whose texts a chunk is looked for in the store, where no row there is the very same chunk. */
const PATHS_BY_TEXT = 4;

/**
 * Vectors that need not be made: for what is in a file that was moved or renamed those it had there, and those of the same text, from any
 * repo of the collection. The path is part of what is embedded, so a chunk that was moved keeps a vector that knows its earlier path, and its
 * row says so by its `embeddedHash`, until a full run makes it anew.
 *
 * The row of the very same chunk at a path that is gone comes first, as it was there before the run: a run that is killed and goes on finds
 * the same, whatever it has written.
 */
export class KnownVectors {
  readonly #store: VectorStore;
  readonly #collection: string;
  readonly #chunks: RunChunks;
  readonly #gone: LikePaths | null;
  /** All chunks of a file come one after the other. */
  #likely = { path: '', earlier: [] as string[] };

  /** @param chunks read from the store, with the paths that the source has. */
  constructor(store: VectorStore, collection: string, chunks: RunChunks) {
    this.#store = store;
    this.#collection = collection;
    this.#chunks = chunks;
    this.#gone = chunks.gonePaths.size > 0 ? new LikePaths(chunks.gonePaths) : null;
  }

  /** @returns by the chunk's key; each says what the model read when the vector was made. */
  async of(chunks: readonly LookedUpChunk[]): Promise<Map<string, RowVectors>> {
    const moved = await this.#ofMoved(chunks);
    const others = chunks.filter(({ key }) => !moved.has(key));
    const same = await this.#byTexts(others, ({ identity }) => [identity.embeddedHash]);
    const changed = others.filter(({ key }) => !same.has(key));
    const earlier = await this.#byTexts(changed, (chunk) => this.#earlierHashes(chunk));
    return new Map([...moved, ...same, ...earlier]);
  }

  /** By the row that was the very same chunk: it need not have been embedded at its path, as it may have been moved before. */
  async #ofMoved(chunks: readonly LookedUpChunk[]): Promise<Map<string, RowVectors>> {
    const rowIds = new Map<string, string>();
    for (const chunk of chunks) {
      const earlier = this.#visibleBefore(chunk);
      if (earlier !== undefined) rowIds.set(chunk.key, this.#chunks.visibleId(earlier));
    }
    if (rowIds.size === 0) return new Map();
    const vectors = await this.#store.vectorsById(this.#collection, [...new Set(rowIds.values())]);
    return new Map([...rowIds].flatMap(([key, id]) => entryOf(key, vectors.get(id))));
  }

  /** Its key at the likeliest of the paths at which it was visible. */
  #visibleBefore({ identity, embeddedText }: LookedUpChunk): string | undefined {
    for (const path of this.#earlierPaths(identity)) {
      const hash = hashAt(embeddedText, { from: identity.path, to: path });
      const key = chunkKey({ ...identity, path, embeddedHash: hash });
      if (this.#chunks.isVisible(key)) return key;
    }
    return undefined;
  }

  /** @param hashesOf the first that is known counts. */
  async #byTexts(
    chunks: readonly LookedUpChunk[],
    hashesOf: (chunk: LookedUpChunk) => string[],
  ): Promise<Map<string, RowVectors>> {
    const wanted = chunks.map((chunk) => ({ key: chunk.key, hashes: hashesOf(chunk) }));
    const all = new Set(wanted.flatMap(({ hashes }) => hashes));
    if (all.size === 0) return new Map();
    const vectors = await this.#store.vectorsByHash(this.#collection, [...all]);
    return new Map(
      wanted.flatMap(({ key, hashes }) => {
        const hash = hashes.find((one) => vectors.has(one)) ?? '';
        const made = vectors.get(hash);
        return entryOf(key, made && { embeddedHash: hash, ...made });
      }),
    );
  }

  #earlierHashes({ identity, embeddedText }: LookedUpChunk): string[] {
    const paths = this.#earlierPaths(identity).slice(0, PATHS_BY_TEXT);
    return paths.map((to) => hashAt(embeddedText, { from: identity.path, to }));
  }

  #earlierPaths({ path }: ChunkIdentity): string[] {
    if (!this.#gone) return [];
    if (this.#likely.path !== path) this.#likely = { path, earlier: this.#gone.of(path) };
    return this.#likely.earlier;
  }
}

const hashAt = (text: string, paths: { from: string; to: string }): string =>
  embeddedHash(textAtPath(text, paths));

const entryOf = (key: string, vectors: RowVectors | undefined): [string, RowVectors][] =>
  vectors ? [[key, vectors]] : [];
