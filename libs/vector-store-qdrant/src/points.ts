import { createHash } from 'node:crypto';
import type { Schemas } from '@qdrant/js-client-rest';
import { foldersOf } from '@embergate/vector-store/path-glob.ts';
import type {
  ChunkRow,
  ChunkStamp,
  ChunkVectors,
  StoredChunk,
  VisibleRow,
} from '@embergate/vector-store/store.ts';
import { documentVector } from './sparse-vector.ts';

export const DENSE = 'dense';
/** Of the second space, in collections that carry one. */
export const SECOND = 'second';
export const LEXICAL = 'lexical';

export const RESULT_FIELDS = ['id', 'repo', 'path', 'language', 'symbol', 'startLine', 'endLine', 'text'];
export const STAMP_FIELDS = ['id', 'path', 'addedBy', 'removedBy'];

/** Fields that filters read. `repo` comes with every search of a tenant: Qdrant lays its points side by side. */
export const INDEXED_FIELDS: Record<string, Schemas['PayloadFieldSchema']> = {
  repo: { type: 'keyword', is_tenant: true },
  path: 'keyword',
  folders: 'keyword',
  language: 'keyword',
  addedBy: 'keyword',
  removedBy: 'keyword',
  embeddedHash: 'keyword',
  id: 'keyword',
};

/** A point's id: Qdrant takes UUIDs and integers only, so this one is made of a hash of the row's. */
export function pointId(rowId: string): string {
  const bytes = createHash('sha256').update(rowId).digest().subarray(0, 16);
  // Version 8 (custom) and the standard variant.
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/**
 * `lexicalText` is stored as its sparse vector only. `folders`, the folders of the path, answers most path filters.
 * A row that nobody removed has no `removedBy`.
 */
export function pointOf(row: ChunkRow): Schemas['PointStruct'] {
  const { vector, secondVector, lexicalText, removedBy, ...fields } = row;
  const sparse = documentVector(lexicalText);
  return {
    id: pointId(row.id),
    vector: {
      ...(vector !== null && { [DENSE]: Array.from(vector) }),
      ...(secondVector !== null && { [SECOND]: Array.from(secondVector) }),
      ...(sparse.indices.length > 0 && { [LEXICAL]: sparse }),
    },
    payload: { ...fields, folders: foldersOf(row.path), ...(removedBy !== null && { removedBy }) },
  };
}

type Payload = Record<string, unknown> | null | undefined;

export function chunkOf(payload: Payload): StoredChunk {
  const { id, repo, path, language, symbol, startLine, endLine, text } = (payload ??
    {}) as unknown as StoredChunk;
  return { id, repo, path, language, symbol, startLine, endLine, text };
}

export function stampOf(payload: Payload): ChunkStamp {
  const { id, path, addedBy, removedBy } = (payload ?? {}) as Partial<ChunkStamp> as ChunkStamp;
  return { id, path, addedBy, removedBy: removedBy ?? null };
}

/** A point's vectors, where it has one of the first space. */
export function vectorsOf(point: Schemas['Record']): ChunkVectors | null {
  const named = point.vector as Record<string, number[]> | null | undefined;
  const [first, second] = [named?.[DENSE], named?.[SECOND]];
  if (first === undefined) return null;
  return { vector: Float32Array.from(first), secondVector: second ? Float32Array.from(second) : null };
}

export function visibleRowOf(point: Schemas['Record']): VisibleRow {
  const vectors = vectorsOf(point) ?? { vector: null, secondVector: null };
  const { addedBy, removedBy } = stampOf(point.payload);
  const embeddedHash = String(point.payload?.['embeddedHash']);
  const lexical = (point.vector as Record<string, unknown> | null | undefined)?.[LEXICAL] !== undefined;
  return { ...chunkOf(point.payload), embeddedHash, lexical, addedBy, removedBy, ...vectors };
}

/** One number of a vector in JSON, at most. */
export const BYTES_PER_NUMBER = 21;
/** The server refuses bodies over 32 MiB; small ones also keep a slow link from a timeout. */
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
const MAX_BATCH_ROWS = 256;

/** Rows in batches that fit one request: 64 rows of 3584 dimensions are some 5 MB of JSON. */
export function* batchesOf(rows: ChunkRow[]): Generator<ChunkRow[]> {
  let batch: ChunkRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    const size = jsonBytes(row);
    if (batch.length > 0 && (batch.length === MAX_BATCH_ROWS || bytes + size > MAX_BATCH_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(row);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** An upper estimate: 21 bytes a number, up to three a character, and 34 a token of some six characters. */
function jsonBytes({ vector, secondVector, text, lexicalText, path, symbol }: ChunkRow): number {
  const numbers = (vector?.length ?? 0) + (secondVector?.length ?? 0);
  return (
    1_000 +
    BYTES_PER_NUMBER * numbers +
    3 * (text.length + 3 * path.length + symbol.length) +
    6 * lexicalText.length
  );
}
