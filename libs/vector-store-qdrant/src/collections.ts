import type { QdrantClient, Schemas } from '@qdrant/js-client-rest';
import { AppError } from '@embergate/contracts/errors.ts';
import { newStamp, stampFor, type StoredStamp } from '@embergate/vector-store/spaces.ts';
import type { CollectionSpaces, CollectionStamp } from '@embergate/vector-store/store.ts';
import { collectionNotFound, describeFailure } from './failures.ts';
import { PREFIX } from './pointers.ts';
import { DENSE, INDEXED_FIELDS, LEXICAL, SECOND } from './points.ts';

/*
 * What Qdrant knows of collections; `place` is its name for one.
 */

const STAMP_KEY = 'embergate';

/** Creates the collection unless it exists, its stamp in its metadata; then the payload indexes that are missing. */
export async function createChunkCollection(
  client: QdrantClient,
  place: string,
  { name, ...spaces }: CollectionSpaces & { name: string },
): Promise<void> {
  const { exists } = await client.collectionExists(place);
  if (!exists) {
    const creation = client.createCollection(place, {
      vectors: vectorFields(spaces),
      sparse_vectors: { [LEXICAL]: { modifier: 'idf' } },
      metadata: { [STAMP_KEY]: newStamp(name, spaces) },
    });
    await creation.catch((error: unknown) => {
      // Another process was faster; whether it meant the same spaces is checked on what is there now.
      if (describeFailure(error).status !== 409) throw error;
    });
  }
  const { payload_schema: indexed } = await client.getCollection(place);
  // Before the first row: what is indexed later costs Qdrant a pass over all points.
  const missing = Object.entries(INDEXED_FIELDS).filter(([field]) => !(field in indexed));
  await Promise.all(
    missing.map(([field, schema]) =>
      client.createPayloadIndex(place, { field_name: field, field_schema: schema, wait: true }),
    ),
  );
}

function vectorFields({ space, secondSpace }: CollectionSpaces): Record<string, Schemas['VectorParams']> {
  const first = { [DENSE]: { size: space.dimensions, distance: 'Cosine' as const } };
  if (secondSpace === null) return first;
  return { ...first, [SECOND]: { size: secondSpace.dimensions, distance: 'Cosine' } };
}

/** Throws `config_invalid` where the server keeps no metadata, which takes 1.16. */
export async function readStamp(
  client: QdrantClient,
  place: string,
  collection: string,
): Promise<CollectionStamp> {
  const { config } = await client.getCollection(place);
  const stamp = (config.metadata as Record<string, unknown> | null | undefined)?.[STAMP_KEY];
  if (stamp !== undefined) return stampFor(collection, stamp as StoredStamp);
  throw new AppError(
    'config_invalid',
    `Qdrant keeps no metadata of collection "${collection}": Embergate needs Qdrant 1.16 or newer`,
  );
}

/** Those of Qdrant's collections that hold chunks of ours. */
export async function placesIn(client: QdrantClient): Promise<string[]> {
  const { collections } = await client.getCollections();
  return collections.map(({ name }) => name).filter((name) => name.startsWith(PREFIX));
}

export async function checkExists(client: QdrantClient, place: string, collection: string): Promise<void> {
  const { exists } = await client.collectionExists(place);
  if (!exists) throw collectionNotFound(collection);
}
