import type { QdrantClient, Schemas } from '@qdrant/js-client-rest';
import { AppError } from '@embergate/contracts/errors.ts';
import type {
  ForeignCollection,
  ForeignCollections,
  ForeignPoint,
  ForeignVector,
  ForeignWish,
} from '@embergate/vector-store/foreign-collections.ts';
import { connect, type QdrantConnection } from './connection.ts';
import { retrying, toStoreError } from './failures.ts';

const TIMEOUT_MS = 60_000;
const PAGE = 1_000;
/** JSON of vectors that one answer may hold, and of one number in it. */
const VECTOR_PAGE_BYTES = 8 * 1024 * 1024;
const BYTES_PER_NUMBER = 21;
/** Of texts that nobody has measured. */
const MAX_VECTOR_PAGE = 256;

type Vectors = Schemas['CollectionParams']['vectors'];
type Params = { size?: number; distance?: string; datatype?: string | null; multivector_config?: unknown };

/** Collections of others in a Qdrant of any version that answers `query`. Throws `config_invalid` for a URL that is none. */
export function createForeignCollections(connection: QdrantConnection): ForeignCollections {
  const client = connect(connection, TIMEOUT_MS);
  return {
    describe: (name) => asked(name, async () => describe(name, await client.getCollection(name))),
    sample: (name, limit, wish) =>
      asked(name, async () => {
        const { points } = await client.query(name, { query: { sample: 'random' }, limit, ...wanted(wish) });
        return points.map((point) => pointOf(point, wish));
      }),
    points: (name, wish) => pages(client, name, wish),
    byId: (name, ids, wish) =>
      asked(name, async () =>
        (await client.retrieve(name, { ids, ...wanted(wish) })).map((point) => pointOf(point, wish)),
      ),
  };
}

/** How many points of a wish fit one answer. */
const pageSize = ({ vector }: ForeignWish): number =>
  vector === undefined
    ? PAGE
    : Math.max(
        1,
        Math.min(MAX_VECTOR_PAGE, Math.floor(VECTOR_PAGE_BYTES / (vector.dimensions * BYTES_PER_NUMBER))),
      );

async function* pages(client: QdrantClient, name: string, wish: ForeignWish): AsyncGenerator<ForeignPoint[]> {
  let offset: Schemas['ScrollResult']['next_page_offset'] = null;
  do {
    const request = { limit: pageSize(wish), ...wanted(wish), ...(offset !== null && { offset }) };
    const page: Schemas['ScrollResult'] = await asked(name, () => client.scroll(name, request));
    if (page.points.length > 0) yield page.points.map((point) => pointOf(point, wish));
    offset = page.next_page_offset ?? null;
  } while (offset !== null);
}

async function asked<T>(name: string, request: () => Promise<T>): Promise<T> {
  try {
    return await retrying(request);
  } catch (thrown) {
    const error = toStoreError(thrown, name);
    if (error.code !== 'collection_not_found') throw error;
    throw new AppError('source_not_found', `Qdrant has no collection "${name}"`, { cause: thrown });
  }
}

const wanted = ({ vector, fields }: ForeignWish) => ({
  with_payload: fields ?? true,
  with_vector: vector === undefined ? false : vector.name === '' ? true : [vector.name],
});

function describe(
  name: string,
  { config, points_count: points }: Schemas['CollectionInfo'],
): ForeignCollection {
  return { name, points: points ?? 0, vectors: vectorsOf(config.params.vectors) };
}

/** Those of several vectors a point are left out: no search of ours reads them. */
function vectorsOf(vectors: Vectors): ForeignVector[] {
  const named = isSingle(vectors) ? { '': vectors } : ((vectors ?? {}) as Record<string, Params>);
  return Object.entries(named)
    .filter(([, params]) => params.size !== undefined && !params.multivector_config)
    .map(([name, { size = 0, distance = 'Cosine', datatype }]) => ({
      name,
      dimensions: size,
      distance,
      datatype: datatype ?? 'float32',
    }));
}

const isSingle = (vectors: unknown): vectors is Params =>
  typeof (vectors as Params | undefined)?.size === 'number';

function pointOf(
  { id, payload, vector }: Pick<Schemas['Record'], 'id' | 'payload' | 'vector'>,
  wish: ForeignWish,
): ForeignPoint {
  const found: unknown =
    wish.vector === undefined || wish.vector.name === ''
      ? vector
      : (vector as Record<string, unknown> | undefined)?.[wish.vector.name];
  return {
    id,
    payload: payload ?? {},
    vector: Array.isArray(found) ? Float32Array.from(found as number[]) : null,
  };
}
