import { AppError } from '@embergate/contracts/errors.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { Chunker } from '@embergate/ingestion/chunk.ts';
import type { SpaceEmbedding } from '@embergate/ingestion/run-request.ts';
import type { Fit } from '@embergate/routing/fit.ts';
import { existingCollection } from '@embergate/vector-store/existing-collection.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import type { BulkEmbedder } from './bulk-embedder.ts';

/** A space that this indexer writes, and how its model wants code to be cut. */
export interface IndexedSpace {
  space: EmbeddingSpace;
  chunker: Chunker;
  /** Those that the deployment declares for it, in order of preference. */
  tiers: readonly TierName[];
  tokenize: (text: string) => Uint32Array;
  embedder: BulkEmbedder;
  /** How fast a tier's workers were when there last were any. */
  lastKnownFit: (tier: TierName) => Promise<Fit | null>;
  /** Of its model, about. */
  weights: number;
}

/** What a collection is written with. */
export interface CollectionWriters {
  first: IndexedSpace;
  second: IndexedSpace | null;
}

export interface EmbeddingFor {
  /** Those that may embed; default: all that are declared for the space. */
  tiers: readonly TierName[] | undefined;
  onWaiting: (waiter: keyof CollectionWriters, what: string | null) => void;
}

/** What embeds for a job in the spaces of its collection. */
export function embeddingsOf(
  { first, second }: CollectionWriters,
  { tiers, onWaiting }: EmbeddingFor,
): { first: SpaceEmbedding; second: SpaceEmbedding | null } {
  const embeddingOf = (
    { space, tokenize, embedder }: IndexedSpace,
    waiter: keyof CollectionWriters,
  ): SpaceEmbedding => ({
    space,
    tokenize,
    embed: (inputs, options) =>
      embedder.embed(inputs, { ...options, onWaiting: (what) => onWaiting(waiter, what) }, tiers),
  });
  return { first: embeddingOf(first, 'first'), second: second && embeddingOf(second, 'second') };
}

interface WantedSpace {
  collection: string;
  newSpace: string | undefined;
  isFixed: boolean;
}

/** The spaces of this indexer: that of EMBEDDING_MODEL first, then those of OTHER_EMBEDDING_MODELS. */
export class IndexedSpaces {
  readonly #all: readonly IndexedSpace[];

  constructor(all: readonly [IndexedSpace, ...IndexedSpace[]]) {
    this.#all = all;
  }

  /**
   * @param newSpace id of the space of a collection that is not there yet; default: the first.
   * @param isFixed the collection must lie in that space, also where it is there.
   * @throws AppError `space_mismatch` where it does not, or where one of its spaces is none of this indexer's.
   */
  async of(
    store: Pick<VectorStore, 'getCollection'>,
    { collection, newSpace, isFixed }: WantedSpace,
  ): Promise<CollectionWriters> {
    const stamp = await existingCollection(store, collection);
    if (!stamp) {
      const first = newSpace === undefined ? (this.#all[0] as IndexedSpace) : this.#withId(newSpace);
      return { first, second: null };
    }
    const { space, secondSpace } = stamp;
    if (isFixed && spaceId(space) !== newSpace) {
      const what = `The collection "${collection}" lies in ${spaceId(space)}, and the job is meant for ${newSpace}`;
      throw new AppError('space_mismatch', `${what}. Index into another collection, or move this one.`);
    }
    return { first: this.#in(space), second: secondSpace && this.#in(secondSpace) };
  }

  /**
   * @param ids those of a move, the first one first.
   * @throws AppError `space_mismatch` where one is none of this indexer's.
   */
  withIds([first = '', second]: readonly string[]): CollectionWriters {
    return { first: this.#withId(first), second: second === undefined ? null : this.#withId(second) };
  }

  #in(space: EmbeddingSpace): IndexedSpace {
    return this.#withId(spaceId(space));
  }

  #withId(id: string): IndexedSpace {
    const ids = this.#all.map(({ space }) => spaceId(space));
    const found = this.#all[ids.indexOf(id)];
    if (found) return found;
    throw new AppError(
      'space_mismatch',
      `The job needs the space ${id}, and this indexer embeds in ${ids.join(', ')}. Give it the gateway's EMBEDDING_MODEL and OTHER_EMBEDDING_MODELS.`,
    );
  }
}
