import { CHUNKS_FILE, VECTORS_FILE } from '@embergate/contracts/chunk-export.ts';
import type { EmbeddedRow, EmbeddedRowPage, EmbeddedRows } from './embedded-rows.ts';
import { parseJsonBytes, REMEDY, vectorsInvalid } from './import-errors.ts';
import { NpyFile } from './npy-file.ts';
import { OpenedFile } from './opened-file.ts';
import { textLines, type TextLine } from './text-lines.ts';

/** A chunk's text stands in its line twice, escaped. */
const MAX_LINE_BYTES = 4 * 1_024 * 1_024;
/** Vectors read at once: 64 of 3,584 numbers are 0.9 MB. */
const PAGE_CHUNKS = 64;

/** chunks.jsonl and vectors.npy: line k and row k belong together. */
export class ExportPair implements EmbeddedRows {
  readonly name = CHUNKS_FILE;
  readonly count: number;
  readonly sizeBytes: number;
  readonly #chunks: OpenedFile;
  readonly #vectors: OpenedFile;
  readonly #matrix: NpyFile;

  private constructor(files: { chunks: OpenedFile; vectors: OpenedFile }, matrix: NpyFile) {
    this.#chunks = files.chunks;
    this.#vectors = files.vectors;
    this.#matrix = matrix;
    this.count = matrix.rows;
    this.sizeBytes = files.chunks.sizeBytes;
  }

  /**
   * @param folder absolute.
   * @throws AppError `source_not_found`; `vectors_invalid` where shape, bytes and lines do not fit each other.
   */
  static async open(folder: string, dimensions: number): Promise<ExportPair> {
    const chunks = await OpenedFile.open(folder, CHUNKS_FILE);
    let vectors: OpenedFile | undefined;
    try {
      vectors = await OpenedFile.open(folder, VECTORS_FILE);
      const matrix = await NpyFile.open(vectors.handle);
      if (matrix.columns !== dimensions) {
        const what = `${VECTORS_FILE} has ${matrix.columns} dimensions, the space has ${dimensions}`;
        throw vectorsInvalid(`${what}: they were made with another model.`);
      }
      let lines = 0;
      for await (const group of linesOf(chunks)) lines += group.length;
      if (lines !== matrix.rows) {
        const what = `${CHUNKS_FILE} has ${lines} lines and ${VECTORS_FILE} ${matrix.rows} rows`;
        throw vectorsInvalid(`${what}. ${REMEDY}.`);
      }
      return new ExportPair({ chunks, vectors }, matrix);
    } catch (error) {
      await chunks.close();
      await vectors?.close();
      throw error;
    }
  }

  async *pages(): AsyncGenerator<EmbeddedRowPage, void, undefined> {
    for await (const lines of linesOf(this.#chunks)) {
      for (let at = 0; at < lines.length; at += PAGE_CHUNKS) {
        const page = lines.slice(at, at + PAGE_CHUNKS);
        const bytes = page.reduce((sum, line) => sum + line.bytes.length + 1, 0);
        yield { rows: await this.#rowsOf(page), bytes };
      }
    }
  }

  async expectUnchanged(): Promise<void> {
    for (const file of [this.#chunks, this.#vectors]) await file.expectUnchanged();
  }

  async close(): Promise<void> {
    await this.#chunks.close();
    await this.#vectors.close();
  }

  async #rowsOf(lines: readonly TextLine[]): Promise<EmbeddedRow[]> {
    const first = (lines[0]?.number ?? 1) - 1;
    if (first + lines.length > this.#matrix.rows)
      throw vectorsInvalid(`${CHUNKS_FILE} has become longer than ${VECTORS_FILE}.`);
    const vectors = await this.#matrix.read(first, lines.length);
    return lines.map(({ bytes, number }, at) => {
      const place = `${CHUNKS_FILE}, line ${number}`;
      const vectorPlace = `${VECTORS_FILE}, row ${number - 1} (line ${number} of ${CHUNKS_FILE})`;
      return { chunk: parseJsonBytes(bytes, place), vector: vectors[at] as Float32Array, place, vectorPlace };
    });
  }
}

const linesOf = (file: OpenedFile): AsyncGenerator<TextLine[]> =>
  textLines(file.handle, {
    maxBytes: MAX_LINE_BYTES,
    onTooLong: (number) => vectorsInvalid(`${CHUNKS_FILE}, line ${number}: longer than a chunk can be.`),
  });
