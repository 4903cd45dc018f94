import type { SkippedFile } from '@embergate/contracts/index-job.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { toAppError } from '@embergate/contracts/errors.ts';
import type { ChunkPage, ChunkSource, SourceChunk } from './chunk-source.ts';
import { chunkKey } from './hash.ts';
import { RunChunks } from './run-chunks.ts';

/** What a run would do, reckoned from some of its files. */
export interface RunEstimate {
  files: number;
  sampledFiles: number;
  chunks: number;
  /** Chunks that are there already, or whose vector is known. */
  reused: number;
  /** Chunks that would go to the model. */
  embedded: number;
  tokens: number;
}

export interface EstimateRequest {
  collection: string;
  repo: string;
  runId: string;
  mode: 'incremental' | 'full';
  source: ChunkSource;
  /** Files that are looked at, spread over the source; Infinity: all, and then it is exact. */
  mostFiles: number;
  signal: AbortSignal;
}

interface EstimateParts {
  store: VectorStore;
  tokenize: (text: string) => Uint32Array;
}

const LOOKUP = 500;

/**
 * What an index run would cost, without embedding or writing anything. Files that are not looked at are taken to be like those that are,
 * byte for byte.
 * @returns null for a source that brings its vectors along.
 */
export async function estimateRun(
  { store, tokenize }: EstimateParts,
  request: EstimateRequest,
): Promise<RunEstimate | null> {
  const { source, repo, mode, mostFiles, signal } = request;
  if (!source.sample) return null;
  const isKnown = await knownChunks(store, request);
  const { pages, files, bytes } = await source.sample(mostFiles);
  const count = { files: 0, bytes: 0, chunks: 0, embedded: 0, tokens: 0 };
  const seen = new Set<string>();
  let asked: SourceChunk[] = [];
  const look = async (): Promise<void> => {
    const unknown = mode === 'full' ? asked : await withoutVectors(store, request.collection, asked);
    for (const { embeddedText, embeddedHash } of unknown) {
      if (seen.has(embeddedHash)) continue;
      seen.add(embeddedHash);
      count.embedded += 1;
      count.tokens += tokenize(embeddedText).length;
    }
    asked = [];
  };
  for await (const page of pages) {
    signal.throwIfAborted();
    if (!isPage(page)) continue;
    count.files += page.files;
    count.bytes += page.bytes;
    count.chunks += page.chunks.length;
    asked.push(...page.chunks.filter((chunk) => !isKnown(chunkKey({ repo, ...chunk }))));
    if (asked.length >= LOOKUP) await look();
  }
  await look();
  const more = count.bytes > 0 && count.files < files ? Math.max(1, bytes / count.bytes) : 1;
  const chunks = Math.round(count.chunks * more);
  const embedded = Math.round(count.embedded * more);
  const tokens = Math.round(count.tokens * more);
  return { files, sampledFiles: count.files, chunks, reused: chunks - embedded, embedded, tokens };
}

const isPage = (page: ChunkPage | SkippedFile): page is ChunkPage => !('reason' in page);

/** Chunks that the run would leave as they are; a full one leaves only what it has written itself, before it was killed. */
async function knownChunks(store: VectorStore, run: EstimateRequest): Promise<(key: string) => boolean> {
  try {
    const chunks = new RunChunks(run);
    await chunks.read(store);
    return (key) =>
      (run.mode !== 'full' && chunks.isVisible(key)) || (chunks.isOwn(key) && !chunks.isUnembedded(key));
  } catch (error) {
    if (toAppError(error).code === 'collection_not_found') return () => false;
    throw error;
  }
}

async function withoutVectors(
  store: VectorStore,
  collection: string,
  chunks: SourceChunk[],
): Promise<SourceChunk[]> {
  if (chunks.length === 0) return [];
  try {
    const vectors = await store.vectorsByHash(collection, [
      ...new Set(chunks.map(({ embeddedHash }) => embeddedHash)),
    ]);
    return chunks.filter(({ embeddedHash }) => !vectors.has(embeddedHash));
  } catch (error) {
    if (toAppError(error).code === 'collection_not_found') return chunks;
    throw error;
  }
}
