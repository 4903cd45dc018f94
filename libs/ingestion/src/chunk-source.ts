import type { SkippedFile } from '@embergate/contracts/index-job.ts';

/** A chunk as a run takes it from its source. */
export interface SourceChunk {
  path: string;
  language: string;
  symbol: string;
  kind: string | null;
  /** 1-based, both included. */
  startLine: number;
  endLine: number;
  text: string;
  /** What the model reads, after the space's document prompt. */
  embeddedText: string;
  /** sha256 (hex) of `embeddedText`. */
  embeddedHash: string;
  /** Where it has been embedded elsewhere: such a chunk never goes to the model. */
  vector?: Float32Array;
  /** False where full-text search is not to find it. */
  lexical?: boolean;
}

/** Some chunks of a source, with what share of it they are. */
export interface ChunkPage {
  chunks: SourceChunk[];
  /** Files that begin in this page. */
  files: number;
  bytes: number;
}

/**
 * Where a run's chunks come from: a folder of code (folder-source.ts), or an export with vectors (vectors-source.ts).
 * Reading it twice gives the same chunks in the same order, where nothing has changed.
 */
export interface ChunkSource {
  /** What a chunk is that has come before: one chunk (lines that read the same), or a mistake that ends the run. */
  readonly repeated: 'same' | 'refused';
  /** Paths of all files that its chunks may be of, and of none that is not there. Missing where what was embedded does not begin with the path. */
  paths?(): Promise<ReadonlySet<string>>;
  /** Bytes of all pages to come, for progress: an estimate. */
  sizeBytes(): Promise<number>;
  /** In the order of the source, and in pages that fit into memory whatever its size. */
  read(): AsyncGenerator<ChunkPage | SkippedFile, void, undefined>;
  /**
   * Some of it, spread evenly, and how much there is in all; `most` files at most, Infinity for all. Missing where the chunks bring their
   * vectors along.
   */
  sample?(most: number): Promise<SourceSample>;
  /** Throws where the source is not what was opened: nothing of it may be published then. */
  expectUnchanged(): Promise<void>;
  close(): Promise<void>;
}

export interface SourceSample {
  pages: AsyncIterable<ChunkPage | SkippedFile>;
  /** Of the whole source, from names and sizes alone. */
  files: number;
  bytes: number;
}

/** Called when the run really begins, and not where it has been published already. */
export type OpenChunkSource = () => Promise<ChunkSource>;
