import { Worker } from 'node:worker_threads';
import type { EmbeddedRow, EmbeddedRowPage, EmbeddedRows } from './embedded-rows.ts';
import { vectorsInvalid } from './import-errors.ts';
import { OpenedFile } from './opened-file.ts';
import type { ParquetAnswer, ParquetQuestion, ParquetThreadData } from './parquet-thread.ts';

export const isParquet = (path: string): boolean => path.toLowerCase().endsWith('.parquet');

const PAGE_CHUNKS = 64;
/** Of V8's heap, for decoding one row group; a file that needs more is refused, and the indexer goes on. */
const MAX_HEAP_MB = 768;
/** A row group of usual size takes a second or two. */
const MAX_GROUP_MS = 180_000;

interface ParquetFileOptions {
  /** Of the file in its folder. */
  name: string;
  dimensions: number;
}

/**
 * A Parquet file with the columns of chunks.jsonl and one of vectors (`embedding`, `embeddings` or `vector`: a list of float16, float32 or
 * float64, of variable or fixed size). It is read one row group after the other, in a thread of its own: decoding takes a core for a while,
 * during which this process must renew its locks, and a file that was made to fill memory ends the thread and nothing else.
 */
export class ParquetFile implements EmbeddedRows {
  readonly name: string;
  readonly count: number;
  readonly sizeBytes: number;
  readonly #file: OpenedFile;
  readonly #thread: ParquetThread;
  readonly #groups: readonly number[];
  readonly #dimensions: number;

  private constructor(
    file: OpenedFile,
    thread: ParquetThread,
    about: ParquetFileOptions & { groups: number[] },
  ) {
    this.#file = file;
    this.#thread = thread;
    this.name = about.name;
    this.#groups = about.groups;
    this.#dimensions = about.dimensions;
    this.count = about.groups.reduce((sum, rows) => sum + rows, 0);
    this.sizeBytes = file.sizeBytes;
  }

  /**
   * Reads the file's description of itself: columns, types, sizes of row groups.
   * @param folder absolute.
   * @throws AppError `source_not_found`, `vectors_invalid`
   */
  static async open(folder: string, { name, dimensions }: ParquetFileOptions): Promise<ParquetFile> {
    const file = await OpenedFile.open(folder, name);
    const { fd } = file.handle;
    const thread = new ParquetThread(name, { fd, byteLength: file.sizeBytes, dimensions });
    try {
      const { groups = [] } = await thread.ask({ type: 'open' });
      return new ParquetFile(file, thread, { name, dimensions, groups });
    } catch (error) {
      await thread.end();
      await file.close();
      throw error;
    }
  }

  async *pages(): AsyncGenerator<EmbeddedRowPage, void, undefined> {
    let row = 0;
    for (const [group, rows] of this.#groups.entries()) {
      const { chunks = [], vectors = new Float32Array(0) } = await this.#thread.ask({ type: 'group', group });
      if (chunks.length !== rows)
        throw vectorsInvalid(`${this.name}: row group ${group} has not the rows it says.`);
      for (let at = 0; at < rows; at += PAGE_CHUNKS) {
        const page = chunks.slice(at, at + PAGE_CHUNKS);
        const first = row + at;
        const bytes = Math.round((this.sizeBytes * page.length) / this.count);
        yield {
          rows: page.map((chunk, n) => this.#rowOf(chunk, { row: first + n, vectors, at: at + n })),
          bytes,
        };
      }
      row += rows;
    }
  }

  expectUnchanged(): Promise<void> {
    return this.#file.expectUnchanged();
  }

  async close(): Promise<void> {
    await this.#thread.end();
    await this.#file.close();
  }

  #rowOf(
    chunk: unknown,
    { row, vectors, at }: { row: number; vectors: Float32Array; at: number },
  ): EmbeddedRow {
    const place = `${this.name}, row ${row}`;
    const vector = vectors.slice(at * this.#dimensions, (at + 1) * this.#dimensions);
    return { chunk, vector, place, vectorPlace: place };
  }
}

/** Asks the thread one question after the other. */
class ParquetThread {
  readonly #name: string;
  readonly #worker: Worker;

  constructor(name: string, data: ParquetThreadData) {
    this.#name = name;
    this.#worker = new Worker(new URL('./parquet-thread.ts', import.meta.url), {
      workerData: data,
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
    });
    this.#worker.unref();
  }

  async ask(question: ParquetQuestion): Promise<Extract<ParquetAnswer, { ok: true }>> {
    const worker = this.#worker;
    const { promise, resolve, reject } = Promise.withResolvers<ParquetAnswer>();
    const onError = (error: Error): void => reject(error);
    const onExit = (): void => reject(new Error('the reader ended'));
    const late = setTimeout(() => reject(new Error('it takes far too long to decode')), MAX_GROUP_MS);
    worker.once('message', resolve).once('error', onError).once('exit', onExit);
    try {
      worker.postMessage(question);
      const answer = await promise;
      if (answer.ok) return answer;
      throw new Error(answer.message);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const why = code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'it needs more memory than a row group may' : message;
      throw vectorsInvalid(`${this.#name} cannot be read: ${why}.`, error);
    } finally {
      clearTimeout(late);
      worker.off('message', resolve).off('error', onError).off('exit', onExit);
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
