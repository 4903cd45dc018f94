import { setTimeout as delay } from 'node:timers/promises';
import type { QdrantClient, Schemas } from '@qdrant/js-client-rest';
import { AppError } from '@embergate/contracts/errors.ts';
import type { QdrantQuantization } from '@embergate/contracts/settings.ts';
import { newStamp, stampFor, type StoredStamp } from '@embergate/vector-store/spaces.ts';
import type { CollectionSpaces, CollectionStamp } from '@embergate/vector-store/store.ts';
import { isSuccessorName } from '@embergate/vector-store/successor.ts';
import { collectionNotFound, describeFailure, optimizerFailed } from './failures.ts';
import { PREFIX } from './pointers.ts';
import { DENSE, INDEXED_FIELDS, LEXICAL, SECOND } from './points.ts';
import { applyQuantization, quantizationConfig } from './quantization.ts';

/*
 * What Qdrant knows of collections; `place` is its name for one.
 */

const STAMP_KEY = 'embergate';

/**
 * Creates the collection unless it exists, its stamp in its metadata; then the payload indexes that are missing, and the
 * quantisation that is wanted.
 *
 * @throws AppError `collection_foreign` where somebody else's has the name.
 */
export async function createChunkCollection(
  client: QdrantClient,
  place: string,
  { name, quantization, ...spaces }: CollectionSpaces & { name: string; quantization: QdrantQuantization },
): Promise<void> {
  const { exists } = await client.collectionExists(place);
  if (!exists) {
    const quantized = quantizationConfig(quantization);
    const creation = client.createCollection(place, {
      // eslint-disable-next-line @typescript-eslint/no-deprecated -- what replaces it is unknown to older servers
      vectors: vectorFields(spaces, { on_disk: quantized !== null }),
      sparse_vectors: { [LEXICAL]: { modifier: 'idf' } },
      metadata: { [STAMP_KEY]: newStamp(name, spaces) },
      ...(quantized !== null && { quantization_config: quantized }),
    });
    await creation.catch((error: unknown) => {
      // Another process was faster; whether it meant the same spaces is checked on what is there now.
      if (describeFailure(error).status !== 409) throw error;
    });
  }
  const { payload_schema: indexed, config } = await client.getCollection(place);
  stampIn(config, place, name);
  // Before the first row: what is indexed later costs Qdrant a pass over all points.
  await createIndexes(client, place, { wanted: INDEXED_FIELDS, indexed });
  await applyQuantization(client, place, { wanted: quantization, config });
}

/** A process that was killed in between may have left some to be made. */
export async function createIndexes(
  client: QdrantClient,
  place: string,
  { wanted, indexed }: { wanted: Record<string, Schemas['PayloadFieldSchema']>; indexed: object },
): Promise<void> {
  const missing = Object.entries(wanted).filter(([field]) => !(field in indexed));
  await Promise.all(
    missing.map(([field, schema]) =>
      client.createPayloadIndex(place, { field_name: field, field_schema: schema, wait: true }),
    ),
  );
}

function vectorFields(
  { space, secondSpace }: CollectionSpaces,
  kept: Pick<Schemas['VectorParams'], 'on_disk'>,
): Record<string, Schemas['VectorParams']> {
  const first = { [DENSE]: { size: space.dimensions, distance: 'Cosine' as const, ...kept } };
  if (secondSpace === null) return first;
  return { ...first, [SECOND]: { size: secondSpace.dimensions, distance: 'Cosine', ...kept } };
}

/** @throws AppError `collection_foreign` where another program made the collection. */
export async function readStamp(
  client: QdrantClient,
  place: string,
  collection: string,
): Promise<CollectionStamp> {
  const { config } = await client.getCollection(place);
  return stampFor(collection, stampIn(config, place, collection));
}

function stampIn(config: Schemas['CollectionConfig'], place: string, collection: string): StoredStamp {
  const stamp = (config.metadata as Record<string, unknown> | null | undefined)?.[STAMP_KEY] as
    StoredStamp | undefined;
  const vectors = (config.params.vectors ?? {}) as Record<string, { size?: number } | undefined>;
  const size = vectors[DENSE]?.size;
  if (stamp !== undefined && size === stamp.space.dimensions) return stamp;
  const found =
    stamp === undefined
      ? 'carries no stamp of Embergate'
      : `is stamped with ${stamp.space.dimensions} dimensions and has ${size ?? 'none'}`;
  throw new AppError(
    'collection_foreign',
    `Qdrant's collection ${place} ${found}: another program made it. Use another name than "${collection}", or rename or delete it there; ` +
      '`embergate collections adopt NAME --from COLLECTION` makes a foreign collection searchable.',
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

const LOOK_MS = 500;
/** Searches are right all along, only slower, and the server may be at work on what others write. */
const PATIENCE_MS = 3_000;
/** All searches are about to go to what is built, and nobody else writes to it. */
const SUCCESSOR_PATIENCE_MS = 120_000;

/**
 * Waits for a while until the server has built what makes searches fast.
 * @throws AppError `store_refused` with the server's words where it cannot.
 */
export async function waitForOptimizer(
  client: QdrantClient,
  place: string,
  collection: string,
): Promise<void> {
  const patienceMs = isSuccessorName(collection) ? SUCCESSOR_PATIENCE_MS : PATIENCE_MS;
  for (let waited = 0; waited < patienceMs; waited += LOOK_MS) {
    const { status, optimizer_status: optimizer } = await client.getCollection(place);
    if (typeof optimizer === 'object') throw optimizerFailed(optimizer.error);
    // Grey: nothing is built before the next write, as after a restart of the server.
    if (status === 'green' || status === 'grey') return;
    await delay(LOOK_MS);
  }
}
