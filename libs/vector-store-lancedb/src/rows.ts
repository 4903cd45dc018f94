import {
  Field,
  FixedSizeList,
  Float32,
  Int32,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  Utf8,
  vectorFromArray,
  type Data,
} from 'apache-arrow';
import type { StoredStamp } from '@embergate/vector-store/spaces.ts';
import type { CollectionStamp, ChunkRow, StoredChunk } from '@embergate/vector-store/store.ts';

/** What a search result needs; the vector, by far the widest column, is never among it. */
export const RESULT_COLUMNS = ['id', 'repo', 'path', 'language', 'symbol', 'startLine', 'endLine', 'text'];

/** Columns of vectors. A collection without a second space has no second one. */
export const VECTOR_COLUMNS = { first: 'vector', second: 'secondVector' } as const;

/**
 * Stands before the hash of a row that has no vector yet. So the few that are left are found and counted by a narrow column (whether
 * a vector is null, LanceDB only knows by reading all of them), and nobody who looks for a hash finds one.
 */
export const UNEMBEDDED = 'unembedded:';

/**
 * Field metadata that makes LanceDB treat a column as the key of merges: without it, two writers that insert the same
 * key at the same time leave two rows. It does so only where a merge looks for its keys without an index.
 */
export const KEY_COLUMN = new Map([['lance-schema:unenforced-primary-key', 'true']]);
const STAMP_KEY = 'embergate:collection';

/** Columns of a collection's table. The collection's stamp lies in the schema: it appears with the table in one step. */
export function chunkSchema(stamp: CollectionStamp): Schema {
  return new Schema(chunkFields(stamp), new Map([[STAMP_KEY, JSON.stringify(stamp)]]));
}

function chunkFields({ space, secondSpace }: CollectionStamp): Field[] {
  const text = (name: string): Field => new Field(name, new Utf8(), false);
  const vector = (name: string, dimensions: number): Field =>
    new Field(name, new FixedSizeList(dimensions, new Field('item', new Float32(), true)), true);
  return [
    new Field('id', new Utf8(), false, KEY_COLUMN),
    text('repo'),
    text('path'),
    text('language'),
    text('symbol'),
    new Field('startLine', new Int32(), false),
    new Field('endLine', new Int32(), false),
    text('text'),
    text('embeddedHash'),
    text('lexicalText'),
    text('addedBy'),
    new Field('removedBy', new Utf8(), true),
    vector(VECTOR_COLUMNS.first, space.dimensions),
    ...(secondSpace === null ? [] : [vector(VECTOR_COLUMNS.second, secondSpace.dimensions)]),
  ];
}

/** The stamp in a table's schema, or null where the table is none of ours. */
export function stampOf(schema: { metadata: Map<string, string> }): StoredStamp | null {
  const json = schema.metadata.get(STAMP_KEY);
  return json === undefined ? null : (JSON.parse(json) as StoredStamp);
}

/** Rows as one Arrow batch, vectors (zeros where there is none) in one flat buffer: ten times as fast as letting LanceDB infer it from objects. */
export function toArrowTable(rows: ChunkRow[], stamp: CollectionStamp): Table {
  const fields = chunkFields(stamp);
  const schema = new Schema(fields);
  const columns = fields.map((field): Data => {
    const values = rows.map((row) => storedValue(row, field.name as keyof ChunkRow));
    return field.type instanceof FixedSizeList
      ? vectorData(values as (Float32Array | null)[], field.type)
      : columnData(values, field);
  });
  const struct = makeData({ type: new Struct(fields), length: rows.length, nullCount: 0, children: columns });
  return new Table(schema, new RecordBatch(schema, struct));
}

const storedValue = (row: ChunkRow, column: keyof ChunkRow): unknown =>
  column === 'embeddedHash' && row.vector === null ? UNEMBEDDED + row.embeddedHash : row[column];

export const hashOf = (stored: string): string =>
  stored.startsWith(UNEMBEDDED) ? stored.slice(UNEMBEDDED.length) : stored;

function columnData(values: unknown[], field: Field): Data {
  const type = field.type as Utf8 | Int32;
  const [data] = vectorFromArray(values, type).data as Data[];
  return data ?? makeData({ type, length: 0 });
}

function vectorData(vectors: (Float32Array | null)[], type: FixedSizeList): Data {
  const flat = new Float32Array(vectors.length * type.listSize);
  const nullBitmap = new Uint8Array(Math.ceil(vectors.length / 8));
  vectors.forEach((vector, index) => {
    if (vector === null) return;
    flat.set(vector, index * type.listSize);
    nullBitmap[index >> 3] = (nullBitmap[index >> 3] ?? 0) | (1 << (index & 7));
  });
  const nullCount = vectors.filter((vector) => vector === null).length;
  const child = makeData({ type: new Float32(), data: flat, length: flat.length, nullCount: 0 });
  return makeData({ type, length: vectors.length, nullCount, nullBitmap, child });
}

/** A result row of LanceDB as a plain object: Arrow's row proxies keep whole batches alive and don't serialise. */
export function toStoredChunk(row: StoredChunk): StoredChunk {
  const { id, repo, path, language, symbol, startLine, endLine, text } = row;
  return { id, repo, path, language, symbol, startLine, endLine, text };
}
