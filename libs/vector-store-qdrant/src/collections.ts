import type { QdrantClient } from '@qdrant/js-client-rest';
import { AppError } from '@embergate/contracts/errors.ts';
import type { CollectionStamp } from '@embergate/vector-store/store.ts';
import { collectionNotFound, describeFailure } from './failures.ts';
import { DENSE, INDEXED_FIELDS, LEXICAL } from './points.ts';

/** Collections of others in the same Qdrant are not ours to list. */
const PREFIX = 'embergate_chunks_';
const STAMP_KEY = 'embergate';

export const remoteName = (collection: string): string => PREFIX + collection;

/** Creates the collection unless it exists, its stamp in its metadata; then the payload indexes that are missing. */
export async function createChunkCollection(client: QdrantClient, stamp: CollectionStamp): Promise<void> {
  const name = remoteName(stamp.name);
  const { exists } = await client.collectionExists(name);
  if (!exists) {
    const creation = client.createCollection(name, {
      vectors: { [DENSE]: { size: stamp.space.dimensions, distance: 'Cosine' } },
      sparse_vectors: { [LEXICAL]: { modifier: 'idf' } },
      metadata: { [STAMP_KEY]: stamp },
    });
    await creation.catch((error: unknown) => {
      // Another process was faster; whether it meant the same space is checked on what is there now.
      if (describeFailure(error).status !== 409) throw error;
    });
  }
  const { payload_schema: indexed } = await client.getCollection(name);
  // Before the first row: what is indexed later costs Qdrant a pass over all points.
  const missing = Object.entries(INDEXED_FIELDS).filter(([field]) => !(field in indexed));
  await Promise.all(
    missing.map(([field, schema]) =>
      client.createPayloadIndex(name, { field_name: field, field_schema: schema, wait: true }),
    ),
  );
}

/** Throws `config_invalid` where the server keeps no metadata, which takes 1.16. */
export async function readStamp(client: QdrantClient, collection: string): Promise<CollectionStamp> {
  const { config } = await client.getCollection(remoteName(collection));
  const stamp = (config.metadata as Record<string, unknown> | null | undefined)?.[STAMP_KEY];
  if (stamp !== undefined) return stamp as CollectionStamp;
  throw new AppError(
    'config_invalid',
    `Qdrant keeps no metadata of collection "${collection}": Embergate needs Qdrant 1.16 or newer`,
  );
}

export async function listStamps(client: QdrantClient): Promise<CollectionStamp[]> {
  const { collections } = await client.getCollections();
  const ours = collections.map(({ name }) => name).filter((name) => name.startsWith(PREFIX));
  const stamps = await Promise.all(
    ours.map((name) =>
      readStamp(client, name.slice(PREFIX.length)).catch((error: unknown) => {
        if (describeFailure(error).status === 404) return null;
        throw error;
      }),
    ),
  );
  return stamps.filter((stamp) => stamp !== null);
}

export async function checkExists(client: QdrantClient, collection: string): Promise<void> {
  const { exists } = await client.collectionExists(remoteName(collection));
  if (!exists) throw collectionNotFound(collection);
}
