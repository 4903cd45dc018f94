import {
  chunkExportSchema,
  CHUNKS_FILE,
  EXPORT_FILE,
  exportedChunkSchema,
  VECTORS_FILE,
  type ChunkExport,
} from '@embergate/contracts/chunk-export.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { z } from 'zod';
import type { ChunkPage, ChunkSource, SourceChunk } from './chunk-source.ts';
import { embeddedHash } from './hash.ts';
import { NpyFile } from './npy-file.ts';
import { OpenedFile } from './opened-file.ts';
import { textLines, type TextLine } from './text-lines.ts';

/** A chunk's text stands in its line twice, escaped. */
const MAX_LINE_BYTES = 4 * 1_024 * 1_024;
const MAX_EXPORT_FILE_BYTES = 64 * 1_024;
/** Vectors read at once: 64 of 3,584 numbers are 0.9 MB. */
const PAGE_CHUNKS = 64;
/** float16 rounds the length of a vector by less than a thousandth. */
const LENGTH_TOLERANCE = 0.01;
const REMEDY = 'Export and embed again, or import the files as they were written';

interface VectorsFiles {
  chunks: OpenedFile;
  vectors: OpenedFile;
}

/**
 * Chunks that were exported and embedded elsewhere (contracts' chunk-export.ts). Everything that can be checked is, before a chunk is
 * handed on: line by line and row by row, so that memory does not grow with the files.
 */
export class VectorsSource implements ChunkSource {
  readonly repeated = 'refused';
  readonly #files: VectorsFiles;
  readonly #matrix: NpyFile;
  readonly #space: EmbeddingSpace;

  private constructor(files: VectorsFiles, matrix: NpyFile, space: EmbeddingSpace) {
    this.#files = files;
    this.#matrix = matrix;
    this.#space = space;
  }

  /**
   * Opens the folder's files and compares their sizes: shape and bytes of the matrix, its rows with the lines.
   *
   * @param folder absolute.
   * @param declared the space that the vectors are said to be of: its short name.
   * @param space that of the collection.
   * @throws AppError `source_not_found`, `space_mismatch`, `vectors_invalid`
   */
  static async open(
    folder: string,
    { declared, space }: { declared: string; space: EmbeddingSpace },
  ): Promise<VectorsSource> {
    expectSpace(declared, space);
    const description = await readChunkExport(folder);
    if (description) expectSpace(spaceId(description.space), space);
    const chunks = await OpenedFile.open(folder, CHUNKS_FILE);
    let vectors: OpenedFile | undefined;
    try {
      vectors = await OpenedFile.open(folder, VECTORS_FILE);
      const matrix = await NpyFile.open(vectors.handle);
      await expectSizes(chunks, { matrix, space, description });
      return new VectorsSource({ chunks, vectors }, matrix, space);
    } catch (error) {
      await chunks.close();
      await vectors?.close();
      throw error;
    }
  }

  sizeBytes(): Promise<number> {
    return Promise.resolve(this.#files.chunks.sizeBytes);
  }

  async *read(): AsyncGenerator<ChunkPage, void, undefined> {
    let lastPath = '';
    for await (const lines of linesOf(this.#files.chunks)) {
      for (let at = 0; at < lines.length; at += PAGE_CHUNKS) {
        const chunks = await this.#chunksOf(lines.slice(at, at + PAGE_CHUNKS));
        let files = 0;
        for (const { path } of chunks) {
          if (path !== lastPath) files += 1;
          lastPath = path;
        }
        const bytes = lines.slice(at, at + PAGE_CHUNKS).reduce((sum, line) => sum + line.bytes.length + 1, 0);
        yield { chunks, files, bytes };
      }
    }
  }

  async expectUnchanged(): Promise<void> {
    for (const file of [this.#files.chunks, this.#files.vectors]) await file.expectUnchanged();
  }

  async close(): Promise<void> {
    await this.#files.chunks.close();
    await this.#files.vectors.close();
  }

  async #chunksOf(lines: readonly TextLine[]): Promise<SourceChunk[]> {
    const first = (lines[0]?.number ?? 1) - 1;
    if (first + lines.length > this.#matrix.rows)
      throw invalid(`${CHUNKS_FILE} has become longer than ${VECTORS_FILE}.`);
    const vectors = await this.#matrix.read(first, lines.length);
    return lines.map((line, at) => {
      const vector = vectors[at] as Float32Array;
      expectVector(vector, { row: line.number - 1, space: this.#space });
      return { ...chunkOf(line), vector };
    });
  }
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
    if (file.sizeBytes > MAX_EXPORT_FILE_BYTES) throw invalid(`${EXPORT_FILE} is longer than it can be.`);
    const found = parsed(chunkExportSchema, await file.handle.readFile(), EXPORT_FILE);
    if (found.spaceId === spaceId(found.space)) return found;
    throw invalid(`${EXPORT_FILE}: spaceId is ${found.spaceId}, but its space is ${spaceId(found.space)}.`);
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

async function expectSizes(
  chunks: OpenedFile,
  { matrix, space, description }: { matrix: NpyFile; space: EmbeddingSpace; description: ChunkExport | null },
): Promise<void> {
  if (matrix.columns !== space.dimensions) {
    const what = `${VECTORS_FILE} has ${matrix.columns} dimensions, ${spaceId(space)} has ${space.dimensions}`;
    throw invalid(`${what}: they were made with another model.`);
  }
  let lines = 0;
  for await (const group of linesOf(chunks)) lines += group.length;
  if (lines !== matrix.rows)
    throw invalid(`${CHUNKS_FILE} has ${lines} lines and ${VECTORS_FILE} ${matrix.rows} rows. ${REMEDY}.`);
  if (description && description.chunks !== lines)
    throw invalid(`${CHUNKS_FILE} has ${lines} lines, ${EXPORT_FILE} says ${description.chunks}. ${REMEDY}.`);
}

const linesOf = (file: OpenedFile): AsyncGenerator<TextLine[]> =>
  textLines(file.handle, {
    maxBytes: MAX_LINE_BYTES,
    onTooLong: (number) => invalid(`${CHUNKS_FILE}, line ${number}: longer than a chunk can be.`),
  });

function chunkOf({ bytes, number }: TextLine): SourceChunk {
  const where = `${CHUNKS_FILE}, line ${number}`;
  const { path, language, symbol, kind, startLine, endLine, text, ...embedded } = parsed(
    exportedChunkSchema,
    bytes,
    where,
  );
  if (embeddedHash(embedded.embeddedText) !== embedded.embeddedHash)
    throw invalid(`${where}: embeddedHash is not the sha256 of embeddedText. ${REMEDY}.`);
  const { embeddedText, embeddedHash: hash } = embedded;
  const place = { path, language, symbol, kind: kind ?? null, startLine, endLine };
  return { ...place, text, embeddedText, embeddedHash: hash };
}

function expectVector(vector: Float32Array, { row, space }: { row: number; space: EmbeddingSpace }): void {
  const where = `${VECTORS_FILE}, row ${row} (line ${row + 1} of ${CHUNKS_FILE})`;
  let squares = 0;
  for (const value of vector) squares += value * value;
  if (!Number.isFinite(squares))
    throw invalid(`${where}: a number is not finite. Embed it again, in float32 where float16 overflows.`);
  const length = Math.sqrt(squares);
  if (!space.normalize || Math.abs(length - 1) <= LENGTH_TOLERANCE) return;
  const remedy = 'Divide each vector by its length, as the space says.';
  throw invalid(`${where}: its length is ${length.toFixed(4)} and should be 1. ${remedy}`);
}

function parsed<T>(schema: z.ZodType<T>, bytes: Buffer, where: string): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalid(`${where}: not JSON in UTF-8. ${REMEDY}.`, error);
  }
  const found = schema.safeParse(value);
  if (found.success) return found.data;
  const [issue] = found.error.issues;
  const field = issue && issue.path.length > 0 ? `${issue.path.join('.')}: ` : '';
  throw invalid(`${where}: ${field}${issue?.message ?? 'not as it should be'}. ${REMEDY}.`, found.error);
}

const invalid = (message: string, cause?: unknown): AppError =>
  new AppError('vectors_invalid', message, { cause });
