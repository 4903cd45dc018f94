import type { QdrantClient, Schemas } from '@qdrant/js-client-rest';
import { indexablePart, parsePathGlob } from '@embergate/vector-store/path-glob.ts';
import type {
  ChunkStamp,
  RepoCount,
  ScoredChunk,
  SearchOptions,
  StoredChunk,
} from '@embergate/vector-store/store.ts';
import type { HiddenRuns } from '@embergate/vector-store/visibility.ts';
import { fieldIs, searchFilter } from './filters.ts';
import { firstMatching } from './first-matching.ts';
import { chunkOf, RESULT_FIELDS, STAMP_FIELDS, stampOf } from './points.ts';

/*
 * Queries on the points of one collection; `name` is its name in Qdrant.
 */

const STAMPS_PER_PAGE = 2_000;
const ROWS_PER_PAGE = 500;
const MAX_REPOS = 10_000;

type Point = Schemas['Record'];
export type Scrolling = Pick<QdrantClient, 'scroll'>;

export async function* scrollPages(
  client: Scrolling,
  name: string,
  request: { filter: Schemas['Filter']; fields: string[]; size: number; vectors?: string[] },
): AsyncGenerator<Point[]> {
  let offset: Schemas['ScrollResult']['next_page_offset'] = null;
  do {
    const page: Schemas['ScrollResult'] = await client.scroll(name, {
      filter: request.filter,
      limit: request.size,
      with_payload: request.fields,
      ...(request.vectors !== undefined && { with_vector: request.vectors }),
      ...(offset !== null && { offset }),
    });
    if (page.points.length > 0) yield page.points;
    offset = page.next_page_offset ?? null;
  } while (offset !== null);
}

export async function* stampPages(
  client: Scrolling,
  name: string,
  repo: string,
): AsyncGenerator<ChunkStamp[]> {
  const filter = { must: [fieldIs('repo', repo)] };
  for await (const page of scrollPages(client, name, {
    filter,
    fields: STAMP_FIELDS,
    size: STAMPS_PER_PAGE,
  })) {
    yield page.map(({ payload }) => stampOf(payload));
  }
}

/** Rows that meet a condition, in line order. */
export async function readPoints(
  client: QdrantClient,
  name: string,
  filter: Schemas['Filter'],
): Promise<StoredChunk[]> {
  const chunks: StoredChunk[] = [];
  for await (const page of scrollPages(client, name, {
    filter,
    fields: RESULT_FIELDS,
    size: ROWS_PER_PAGE,
  })) {
    chunks.push(...page.map(({ payload }) => chunkOf(payload)));
  }
  return chunks.sort((one, other) => one.startLine - other.startLine || one.endLine - other.endLine);
}

/** The best points of one ranking: `query` and the vector it is `using`. */
export async function rankPoints(
  client: QdrantClient,
  name: string,
  search: {
    query: NonNullable<Schemas['QueryRequest']['query']>;
    using: string;
    hidden: HiddenRuns;
    options: SearchOptions;
    params?: Schemas['SearchParams'];
  },
): Promise<ScoredChunk[]> {
  const { query, using, hidden, options, params } = search;
  const ask = async (limit: number, fields: string[]): Promise<Schemas['ScoredPoint'][]> => {
    const filter = searchFilter(hidden, options.filter);
    const { points } = await client.query(name, {
      query,
      using,
      filter,
      limit,
      with_payload: fields,
      ...(params && { params }),
    });
    return points;
  };
  const glob = parsePathGlob(options.filter.path ?? '**');
  if (indexablePart(glob).complete) {
    const points = await ask(options.limit, RESULT_FIELDS);
    return points.map((point) => ({ ...chunkOf(point.payload), score: point.score }));
  }
  const ranked = await firstMatching(glob, options.limit, async (size) =>
    (await ask(size, ['path'])).map((point) => ({ ...point, path: String(point.payload?.['path']) })),
  );
  return withChunks(client, name, ranked);
}

/** Adds what a glob search left out while it read far down the ranking. */
async function withChunks(
  client: QdrantClient,
  name: string,
  ranked: { id: Point['id']; score: number }[],
): Promise<ScoredChunk[]> {
  if (ranked.length === 0) return [];
  const ids = ranked.map(({ id }) => id);
  const points = await client.retrieve(name, { ids, with_payload: RESULT_FIELDS });
  const chunks = new Map(points.map(({ id, payload }) => [id, chunkOf(payload)]));
  return ranked.flatMap(({ id, score }) => {
    const chunk = chunks.get(id);
    // Swept since it was ranked.
    return chunk === undefined ? [] : [{ ...chunk, score }];
  });
}

/** Counts by repo; repos beyond ten thousand are left out. */
export async function countPointsByRepo(
  client: QdrantClient,
  name: string,
  filter: Schemas['Filter'],
): Promise<RepoCount[]> {
  const { hits } = await client.facet(name, { key: 'repo', filter, limit: MAX_REPOS, exact: true });
  return hits
    .map(({ value, count }) => ({ repo: String(value), chunks: count }))
    .sort((one, other) => (one.repo < other.repo ? -1 : 1));
}
