/** Runs the model on token ids. One batch at a time: the caller waits for one before it sends the next. */
export interface EmbeddingBackend {
  /** Where the model's matrix work really runs: `cpu`, `cuda`, `webgpu`. */
  readonly device: string;
  readonly dimensions: number;
  /**
   * @param batch token ids, one entry a text, none empty.
   * @returns batch.length x dimensions, row by row.
   * @throws AppError `embedding_failed` when the model cannot compute it or its process ended; the backend recovers by itself.
   */
  embed(batch: readonly Uint32Array[]): Promise<Float32Array>;
  close(): Promise<void>;
}
