import type { QdrantClient, Schemas } from '@qdrant/js-client-rest';
import { rowsPerPage, splitByBytes } from '@embergate/vector-store/pages.ts';
import type {
  ChunkVectors,
  CollectionSpaces,
  RowVectors,
  SampledRow,
  VisibleRow,
} from '@embergate/vector-store/store.ts';
import { scrollPages, type Scrolling } from './chunk-points.ts';
import { embeddedAmong, fieldIn, fieldIs, type PointFilter } from './filters.ts';
import * as points from './points.ts';

/*
 * Queries that bring vectors, on the points of one collection; `name` is its name in Qdrant.
 */

const HASHES_PER_REQUEST = 500;
const POINTS_PER_PAGE = 2_000;

type Point = Schemas['Record'];

const fieldsOf = ({ secondSpace }: CollectionSpaces): string[] =>
  secondSpace === null ? [points.DENSE] : [points.DENSE, points.SECOND];

/**
 * Vectors by the hash of what was embedded. First one point a hash is chosen, then only the vectors of those travel:
 * the same text may lie in many repos.
 */
export async function vectorsByHash(
  client: QdrantClient,
  name: string,
  { hashes, spaces }: { hashes: string[]; spaces: CollectionSpaces },
): Promise<Map<string, ChunkVectors>> {
  const vectors = new Map<string, ChunkVectors>();
  for (let start = 0; start < hashes.length; start += HASHES_PER_REQUEST) {
    const some = hashes.slice(start, start + HASHES_PER_REQUEST);
    const chosen = await pointsByHash(client, name, some);
    const ids = [...chosen.values()];
    for await (const { id: _id, embeddedHash, ...made } of vectorsOfPoints(client, name, { ids, spaces }))
      vectors.set(embeddedHash, made);
  }
  return vectors;
}

export async function vectorsById(
  client: QdrantClient,
  name: string,
  { ids, spaces }: { ids: string[]; spaces: CollectionSpaces },
): Promise<Map<string, RowVectors>> {
  const vectors = new Map<string, RowVectors>();
  const wanted = { ids: ids.map(points.pointId), spaces };
  for await (const { id, ...made } of vectorsOfPoints(client, name, wanted)) vectors.set(id, made);
  return vectors;
}

/** Of those that are there and have one. */
async function* vectorsOfPoints(
  client: QdrantClient,
  name: string,
  { ids, spaces }: { ids: Point['id'][]; spaces: CollectionSpaces },
): AsyncGenerator<RowVectors & { id: string }, void, undefined> {
  const perPage = rowsPerPage(spaces, points.BYTES_PER_NUMBER);
  for (let start = 0; start < ids.length; start += perPage) {
    const found = await client.retrieve(name, {
      ids: ids.slice(start, start + perPage),
      with_vector: fieldsOf(spaces),
      with_payload: ['id', 'embeddedHash'],
    });
    for (const point of found) {
      const made = points.vectorsOf(point);
      const { id, embeddedHash } = point.payload as { id: string; embeddedHash: string };
      if (made !== null) yield { id, embeddedHash, ...made };
    }
  }
}

async function pointsByHash(
  client: QdrantClient,
  name: string,
  hashes: string[],
): Promise<Map<string, Point['id']>> {
  const found = new Map<string, Point['id']>();
  const filter = embeddedAmong({ must: [fieldIn('embeddedHash', hashes)], must_not: [] }, true);
  const request = { filter, fields: ['embeddedHash'], size: POINTS_PER_PAGE };
  for await (const page of scrollPages(client, name, request)) {
    for (const { id, payload } of page) found.set(String(payload?.['embeddedHash']), id);
  }
  return found;
}

export async function samplePoints(
  client: QdrantClient,
  name: string,
  { filter, limit, spaces }: { filter: PointFilter; limit: number; spaces: CollectionSpaces },
): Promise<SampledRow[]> {
  const sample = await client.query(name, {
    query: { sample: 'random' },
    filter: embeddedAmong(filter, true),
    limit,
    with_payload: [...points.RESULT_FIELDS, 'embeddedHash'],
    with_vector: fieldsOf(spaces),
  });
  return sample.points.flatMap((point) => {
    const vectors = points.vectorsOf(point);
    const embeddedHash = String(point.payload?.['embeddedHash']);
    return vectors === null ? [] : [{ ...points.chunkOf(point.payload), embeddedHash, ...vectors }];
  });
}

/** Ids of the rows of a run that have no vector yet. */
export async function* unembeddedPages(
  client: Scrolling,
  name: string,
  runId: string,
): AsyncGenerator<string[]> {
  const filter = embeddedAmong({ must: [fieldIs('addedBy', runId)], must_not: [] }, false);
  const request = { filter, fields: ['id'], size: POINTS_PER_PAGE };
  for await (const page of scrollPages(client, name, request)) {
    yield page.map(({ payload }) => String(payload?.['id']));
  }
}

/** Points by their ids, which stay where they are: pages may be read for as long as it takes. */
export async function* visiblePages(
  client: Scrolling,
  name: string,
  { filter, spaces }: { filter: Schemas['Filter']; spaces: CollectionSpaces },
): AsyncGenerator<VisibleRow[]> {
  const request = {
    filter,
    fields: [...points.RESULT_FIELDS, 'embeddedHash', 'addedBy', 'removedBy'],
    size: rowsPerPage(spaces, points.BYTES_PER_NUMBER),
    vectors: [...fieldsOf(spaces), points.LEXICAL],
  };
  for await (const page of scrollPages(client, name, request)) {
    yield* splitByBytes(page.map(points.visibleRowOf));
  }
}
