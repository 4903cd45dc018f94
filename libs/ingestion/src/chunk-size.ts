/** Code has 3 to 4 characters a token: few chunks are longer than the model reads, and few are needlessly short. */
const CHARS_PER_TOKEN = 4;
/** Beyond this a chunk is no longer about one thing, however much the model reads. */
const MAX_CHUNK_CHARS = 1_500;

/**
 * The most UTF-16 code units that chunks have for a model that reads `maxTokens`, where CHUNK_MAX_CHARS says nothing else. Whoever chunks
 * for a collection has to use the same: other chunks are other rows. What other sizes give: docs/benchmarks.md, "Chunk size".
 */
export const chunkCharsFor = (maxTokens: number, chosen?: number): number =>
  chosen ?? Math.min(MAX_CHUNK_CHARS, maxTokens * CHARS_PER_TOKEN);
