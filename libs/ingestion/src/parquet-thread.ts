import { parquetMetadataAsync, parquetReadObjects, parquetSchema, snappyUncompress } from 'hyparquet';
import type { AsyncBuffer, Compressors, FileMetaData } from 'hyparquet';
import { readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';

export interface ParquetThreadData {
  /** Open, and stays the main thread's to close. */
  fd: number;
  byteLength: number;
  dimensions: number;
}

export type ParquetQuestion = { type: 'open' } | { type: 'group'; group: number };
export type ParquetAnswer =
  | {
      ok: true;
      /** Rows of each row group. */
      groups?: number[];
      /** Of the row group, without their vectors. */
      chunks?: Record<string, unknown>[];
      /** Row by row. */
      vectors?: Float32Array<ArrayBuffer>;
    }
  | { ok: false; message: string };

const VECTOR_COLUMNS = ['embedding', 'embeddings', 'vector'];
const NEEDED = ['path', 'language', 'symbol', 'startLine', 'endLine', 'text', 'embeddedText', 'embeddedHash'];
/** Needed ones, and those that a line of chunks.jsonl may have. */
const COLUMNS = [...NEEDED, 'kind', 'id'];

/** Some 4,600 vectors of 3,584 float32: decoded they take six times as much for a moment. */
const MAX_COLUMN_BYTES = 64 * 2 ** 20;
const MAX_FOOTER_BYTES = 16 * 2 ** 20;
const MAX_PAGE_BYTES = MAX_COLUMN_BYTES;
const FOOTER_LENGTH_BYTES = 8;

const utf8 = new TextDecoder('utf-8', { fatal: true });
const parsers = { stringFromBytes: (bytes: Uint8Array | undefined) => bytes && utf8.decode(bytes) };

/** A page says itself how long it becomes: nothing is made that is longer than it may be. */
const bounded =
  (uncompress: (input: Uint8Array, length: number) => Uint8Array) =>
  (input: Uint8Array, length: number): Uint8Array => {
    if (length > MAX_PAGE_BYTES) throw new Error(`a page of ${length} bytes is longer than it may be`);
    return uncompress(input, length);
  };
const compressors: Compressors = {
  SNAPPY: bounded((input, length) => {
    const output = new Uint8Array(length);
    snappyUncompress(input, output);
    return output;
  }),
  GZIP: bounded((input, length) => gunzipSync(input, { maxOutputLength: Math.max(1, length) })),
  ZSTD: bounded((input, length) => zstdDecompressSync(input, { maxOutputLength: Math.max(1, length) })),
  BROTLI: bounded((input, length) => brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) })),
};

/** Reads one file for {@link ParquetThreadData}; every answer is bounded by what a row group may hold. */
class ParquetReader {
  readonly #file: AsyncBuffer;
  readonly #dimensions: number;
  #metadata: FileMetaData | undefined;
  #vectorColumn = '';
  #columns: string[] = [];

  constructor({ fd, byteLength, dimensions }: ParquetThreadData) {
    this.#dimensions = dimensions;
    const slice = (from: number, to = byteLength): ArrayBuffer => {
      if (!(from >= 0 && to >= from && to <= byteLength)) throw new Error('it points beyond its own end');
      const bytes = new Uint8Array(to - from);
      for (let filled = 0; filled < bytes.length;) {
        const read = readSync(fd, bytes, filled, bytes.length - filled, from + filled);
        if (read === 0) throw new Error('it became shorter while it was read');
        filled += read;
      }
      return bytes.buffer;
    };
    this.#file = { byteLength, slice };
  }

  async open(): Promise<number[]> {
    const { byteLength } = this.#file;
    if (byteLength < 2 * FOOTER_LENGTH_BYTES) throw new Error('it is too short for a Parquet file');
    const end = new DataView(await this.#file.slice(byteLength - FOOTER_LENGTH_BYTES, byteLength));
    if (end.getUint32(4, true) !== 0x31524150) throw new Error('it is no Parquet file, or not all of one');
    if (end.getUint32(0, true) > MAX_FOOTER_BYTES) throw new Error('its footer is longer than it may be');
    const metadata = await parquetMetadataAsync(this.#file, { geoparquet: false });
    const names = parquetSchema(metadata).children.map(({ element }) => element.name);
    const vectors = VECTOR_COLUMNS.filter((name) => names.includes(name));
    if (vectors.length !== 1)
      throw new Error(`it has ${vectors.length} columns of vectors; one is needed, called "embedding"`);
    const missing = NEEDED.filter((name) => !names.includes(name));
    if (missing.length > 0) throw new Error(`it has no column ${missing.join(', ')}`);
    this.#vectorColumn = vectors[0] ?? '';
    this.#columns = [this.#vectorColumn, ...COLUMNS.filter((name) => names.includes(name))];
    metadata.row_groups.forEach((_, group) => this.#expectBounded(metadata, group));
    this.#metadata = metadata;
    return metadata.row_groups.map(({ num_rows: rows }) => Number(rows));
  }

  /** Before anything of it is read: a group of all rows is what most tools write unless they are told otherwise. */
  #expectBounded({ row_groups: groups }: FileMetaData, group: number): void {
    const { columns = [], num_rows: rows = 0n } = groups[group] ?? {};
    for (const { meta_data: about } of columns) {
      if (!about || !this.#columns.includes(about.path_in_schema[0] ?? '')) continue;
      const bytes = Math.max(Number(about.total_uncompressed_size), Number(about.total_compressed_size));
      if (!(bytes >= 0 && bytes <= MAX_COLUMN_BYTES && rows >= 0n)) {
        const what = `row group ${group} has ${Math.ceil(bytes / 2 ** 20)} MiB of ${about.path_in_schema[0]}`;
        throw new Error(
          `${what}, 64 at most can be read at once; write it with smaller ones: row_group_size=1000`,
        );
      }
    }
  }

  async group(
    index: number,
  ): Promise<{ chunks: Record<string, unknown>[]; vectors: Float32Array<ArrayBuffer> }> {
    const metadata = this.#metadata;
    const group = metadata?.row_groups[index];
    if (!metadata || !group) throw new Error(`it has no row group ${index}`);
    // As if it were the only one: what rows it has is said by it alone.
    const rows = await parquetReadObjects({
      file: this.#file,
      metadata: { ...metadata, row_groups: [group], num_rows: group.num_rows },
      columns: this.#columns,
      compressors,
      parsers,
      geoparquet: false,
    });
    const vectors = new Float32Array(rows.length * this.#dimensions);
    const chunks = rows.map((row, at) => {
      const { [this.#vectorColumn]: vector, ...chunk } = row as Record<string, unknown>;
      this.#put(vector, { vectors, at, group: index });
      return Object.fromEntries(Object.entries(chunk).map(([name, value]) => [name, plain(value)]));
    });
    return { chunks, vectors };
  }

  #put(value: unknown, { vectors, at, group }: { vectors: Float32Array; at: number; group: number }): void {
    const numbers =
      Array.isArray(value) || ArrayBuffer.isView(value) ? (value as ArrayLike<unknown>) : undefined;
    const where = `row ${at} of row group ${group}`;
    if (!numbers) throw new Error(`${where} has no list of numbers`);
    if (numbers.length !== this.#dimensions) {
      const what = `${where} has ${numbers.length} dimensions, the space has ${this.#dimensions}`;
      throw new Error(`${what}: it was made with another model`);
    }
    for (let n = 0; n < numbers.length; n++) {
      const number = numbers[n];
      if (typeof number !== 'number') throw new Error(`${where} holds something that is no number`);
      vectors[at * this.#dimensions + n] = number;
    }
  }
}

/** Line numbers come as 64-bit integers from most tools, and columns of optional values hold null. */
const plain = (value: unknown): unknown => (typeof value === 'bigint' ? Number(value) : value);

const port = parentPort;
if (port) {
  const reader = new ParquetReader(workerData as ParquetThreadData);
  const answer = async (question: ParquetQuestion): Promise<void> => {
    try {
      if (question.type === 'open') return port.postMessage({ ok: true, groups: await reader.open() });
      const { chunks, vectors } = await reader.group(question.group);
      port.postMessage({ ok: true, chunks, vectors }, [vectors.buffer]);
    } catch (error) {
      port.postMessage({ ok: false, message: error instanceof Error ? error.message : String(error) });
    }
  };
  port.on('message', (question: ParquetQuestion) => void answer(question));
}
