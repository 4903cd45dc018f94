import {
  chunkExportSchema,
  EXPORT_FILE,
  exportedChunkSchema,
  VECTORS_FILE,
  type ChunkExport,
} from '@embergate/contracts/chunk-export.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { readdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { z } from 'zod';
import type { ChunkPage, ChunkSource, SourceChunk } from './chunk-source.ts';
import type { EmbeddedRow, EmbeddedRows } from './embedded-rows.ts';
import { ExportPair } from './export-pair.ts';
import { embeddedHash } from './hash.ts';
import { parseJsonBytes, REMEDY, vectorsInvalid } from './import-errors.ts';
import { OpenedFile } from './opened-file.ts';
import { isParquet, ParquetFile } from './parquet-file.ts';

const MAX_EXPORT_FILE_BYTES = 64 * 1_024;
/** float16 rounds the length of a vector by less than a thousandth. */
const LENGTH_TOLERANCE = 0.01;

/**
 * Chunks that were exported and embedded elsewhere (contracts' chunk-export.ts). Everything that can be checked is, before a chunk is
 * handed on: row by row, so that memory does not grow with the files.
 */
export class VectorsSource implements ChunkSource {
  readonly repeated = 'refused';
  readonly #rows: EmbeddedRows;
  readonly #space: EmbeddingSpace;

  private constructor(rows: EmbeddedRows, space: EmbeddingSpace) {
    this.#rows = rows;
    this.#space = space;
  }

  /**
   * Opens the files and compares their sizes.
   *
   * @param path absolute: a folder with chunks.jsonl and vectors.npy or with one .parquet file, or such a file itself.
   * @param declared the space that the vectors are said to be of: its short name.
   * @param space that of the collection.
   * @throws AppError `source_not_found`, `space_mismatch`, `vectors_invalid`
   */
  static async open(
    path: string,
    { declared, space }: { declared: string; space: EmbeddingSpace },
  ): Promise<VectorsSource> {
    expectSpace(declared, space);
    const description = await readChunkExport(exportFolderOf(path));
    if (description) expectSpace(spaceId(description.space), space);
    const rows = await openRows(path, space.dimensions);
    if (description && description.chunks !== rows.count) {
      await rows.close();
      const what = `${rows.name} has ${rows.count} chunks, ${EXPORT_FILE} says ${description.chunks}`;
      throw vectorsInvalid(`${what}. ${REMEDY}.`);
    }
    return new VectorsSource(rows, space);
  }

  sizeBytes(): Promise<number> {
    return Promise.resolve(this.#rows.sizeBytes);
  }

  async *read(): AsyncGenerator<ChunkPage, void, undefined> {
    let lastPath = '';
    for await (const { rows, bytes } of this.#rows.pages()) {
      const chunks = rows.map((row) => this.#chunkOf(row));
      let files = 0;
      for (const { path } of chunks) {
        if (path !== lastPath) files += 1;
        lastPath = path;
      }
      yield { chunks, files, bytes };
    }
  }

  expectUnchanged(): Promise<void> {
    return this.#rows.expectUnchanged();
  }

  close(): Promise<void> {
    return this.#rows.close();
  }

  #chunkOf({ chunk, vector, place, vectorPlace }: EmbeddedRow): SourceChunk {
    expectVector(vector, { place: vectorPlace, space: this.#space });
    const { path, language, symbol, kind, startLine, endLine, text, ...embedded } = checked(
      exportedChunkSchema,
      chunk,
      place,
    );
    const { embeddedText, embeddedHash: hash } = embedded;
    if (embeddedHash(embeddedText) !== hash)
      throw vectorsInvalid(`${place}: embeddedHash is not the sha256 of embeddedText. ${REMEDY}.`);
    const where = { path, language, symbol, kind: kind ?? null, startLine, endLine };
    return { ...where, text, embeddedText, embeddedHash: hash, vector };
  }
}

/** Where the description of an import lies: in its folder, or beside its file. */
export const exportFolderOf = (path: string): string => (isParquet(path) ? dirname(path) : path);

async function openRows(path: string, dimensions: number): Promise<EmbeddedRows> {
  if (isParquet(path)) return ParquetFile.open(dirname(path), { name: basename(path), dimensions });
  const names: string[] = await readdir(path).catch(() => []);
  const [parquet, ...others] = names.filter(isParquet).sort();
  if (parquet === undefined) return ExportPair.open(path, dimensions);
  const also = names.includes(VECTORS_FILE) ? VECTORS_FILE : others[0];
  if (also === undefined) return ParquetFile.open(path, { name: parquet, dimensions });
  throw vectorsInvalid(`${path} holds ${parquet} and ${also}: name the file that is to be imported.`);
}

/**
 * What `embedding.json` of an export says; null where there is none.
 * @throws AppError `vectors_invalid`
 */
export async function readChunkExport(folder: string): Promise<ChunkExport | null> {
  const file = await OpenedFile.open(folder, EXPORT_FILE).catch((error: unknown) => {
    if (error instanceof AppError && error.code === 'source_not_found') return null;
    throw error;
  });
  if (!file) return null;
  try {
    if (file.sizeBytes > MAX_EXPORT_FILE_BYTES)
      throw vectorsInvalid(`${EXPORT_FILE} is longer than it can be.`);
    const value = parseJsonBytes(await file.handle.readFile(), EXPORT_FILE);
    const found = checked(chunkExportSchema, value, EXPORT_FILE);
    if (found.spaceId === spaceId(found.space)) return found;
    throw vectorsInvalid(
      `${EXPORT_FILE}: spaceId is ${found.spaceId}, but its space is ${spaceId(found.space)}.`,
    );
  } finally {
    await file.close();
  }
}

function expectSpace(declared: string, space: EmbeddingSpace): void {
  if (declared === spaceId(space)) return;
  throw new AppError(
    'space_mismatch',
    `The vectors are of ${declared}, and this deployment's are of ${spaceId(space)}.`,
  );
}

function expectVector(
  vector: Float32Array,
  { place, space }: { place: string; space: EmbeddingSpace },
): void {
  let squares = 0;
  for (const value of vector) squares += value * value;
  if (!Number.isFinite(squares))
    throw vectorsInvalid(
      `${place}: a number is not finite. Embed it again, in float32 where float16 overflows.`,
    );
  const length = Math.sqrt(squares);
  if (!space.normalize || Math.abs(length - 1) <= LENGTH_TOLERANCE) return;
  const remedy = 'Divide each vector by its length, as the space says.';
  throw vectorsInvalid(`${place}: its length is ${length.toFixed(4)} and should be 1. ${remedy}`);
}

function checked<T>(schema: z.ZodType<T>, value: unknown, place: string): T {
  const found = schema.safeParse(value);
  if (found.success) return found.data;
  const [issue] = found.error.issues;
  const field = issue && issue.path.length > 0 ? `${issue.path.join('.')}: ` : '';
  throw vectorsInvalid(
    `${place}: ${field}${issue?.message ?? 'not as it should be'}. ${REMEDY}.`,
    found.error,
  );
}
