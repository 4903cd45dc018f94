import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { Chunker } from '@embergate/ingestion/chunk.ts';
import type { SpaceEmbedding } from '@embergate/ingestion/run-request.ts';
import type { CollectionStamp, VectorStore } from '@embergate/vector-store/store.ts';

/** A space that this indexer writes, and how its model wants code to be cut. */
export interface IndexedSpace {
  /** The model's name. */
  name: string;
  embedding: SpaceEmbedding;
  chunker: Chunker;
}

/** What a collection is written with. */
export interface CollectionWriters {
  first: IndexedSpace;
  second: IndexedSpace | null;
}

/** The spaces of this indexer: that of EMBEDDING_MODEL first, then those of OTHER_EMBEDDING_MODELS. */
export class IndexedSpaces {
  readonly #all: readonly IndexedSpace[];

  constructor(all: readonly [IndexedSpace, ...IndexedSpace[]]) {
    this.#all = all;
  }

  /**
   * @param newSpace id of the space of a collection that is not there yet; default: the first.
   * @throws AppError `space_mismatch` where one of the collection's spaces is none of this indexer's.
   */
  async of(
    store: Pick<VectorStore, 'getCollection'>,
    { collection, newSpace }: { collection: string; newSpace: string | undefined },
  ): Promise<CollectionWriters> {
    const stamp = await existing(store, collection);
    if (!stamp) {
      const first = newSpace === undefined ? (this.#all[0] as IndexedSpace) : this.#withId(newSpace);
      return { first, second: null };
    }
    const { space, secondSpace } = stamp;
    return { first: this.#in(space), second: secondSpace && this.#in(secondSpace) };
  }

  /** @throws AppError `model_not_found`. */
  named(name: string): IndexedSpace {
    const found = this.#all.find((one) => one.name === name);
    if (found) return found;
    const names = this.#all.map((one) => one.name).join(', ');
    throw new AppError('model_not_found', `This indexer embeds by ${names}, not by ${JSON.stringify(name)}.`);
  }

  #in(space: EmbeddingSpace): IndexedSpace {
    return this.#withId(spaceId(space));
  }

  #withId(id: string): IndexedSpace {
    const ids = this.#all.map(({ embedding }) => spaceId(embedding.space));
    const found = this.#all[ids.indexOf(id)];
    if (found) return found;
    throw new AppError(
      'space_mismatch',
      `The collection lies in the space ${id}, this indexer embeds in ${ids.join(', ')}. Add the collection's model to OTHER_EMBEDDING_MODELS.`,
    );
  }
}

async function existing(
  store: Pick<VectorStore, 'getCollection'>,
  collection: string,
): Promise<CollectionStamp | null> {
  try {
    return await store.getCollection(collection);
  } catch (error) {
    if (toAppError(error).code === 'collection_not_found') return null;
    throw error;
  }
}
