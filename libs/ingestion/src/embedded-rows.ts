/** One chunk of an import as its file holds it, nothing checked but that it is there. */
export interface EmbeddedRow {
  /** What a line of chunks.jsonl says, or the same columns of a Parquet file. */
  chunk: unknown;
  vector: Float32Array;
  /** Where the chunk stands, for messages: `chunks.jsonl, line 7`. */
  place: string;
  /** Where its vector stands. */
  vectorPlace: string;
}

export interface EmbeddedRowPage {
  rows: EmbeddedRow[];
  /** Of {@link EmbeddedRows.sizeBytes}, the part that has been read with this page. */
  bytes: number;
}

/** Chunks with vectors in files of one form or another, read from front to back with memory for a page. */
export interface EmbeddedRows {
  /** For messages: the file that holds the chunks. */
  readonly name: string;
  readonly count: number;
  readonly sizeBytes: number;
  /** @throws AppError `vectors_invalid` where the files are not what they should be. */
  pages(): AsyncGenerator<EmbeddedRowPage, void, undefined>;
  /** @throws AppError `source_not_found` where a file is not the one that was opened. */
  expectUnchanged(): Promise<void>;
  close(): Promise<void>;
}
