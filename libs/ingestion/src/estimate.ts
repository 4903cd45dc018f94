import type { SkippedFile } from '@embergate/contracts/index-job.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { toAppError } from '@embergate/contracts/errors.ts';
import type { ChunkPage, ChunkSource } from './chunk-source.ts';
import { chunkKey } from './hash.ts';
import { KnownVectors, type LookedUpChunk } from './known-vectors.ts';
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
  const there = await chunksThere(store, request);
  const known = there && mode !== 'full' ? new KnownVectors(store, request.collection, there) : null;
  const { pages, files, bytes } = await source.sample(mostFiles);
  const count = { files: 0, bytes: 0, chunks: 0, embedded: 0, tokens: 0 };
  const seen = new Set<string>();
  let asked: LookedUpChunk[] = [];
  const look = async (): Promise<void> => {
    const vectors = await known?.of(asked).catch(noneIfGone);
    for (const { key, identity, embeddedText } of asked) {
      const hash = identity.embeddedHash;
      if (seen.has(hash) || vectors?.has(key)) continue;
      seen.add(hash);
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
    for (const { embeddedText, ...chunk } of page.chunks) {
      const identity = { repo, ...chunk };
      const key = chunkKey(identity);
      if (!staysAsItIs(there, key, mode)) asked.push({ key, identity, embeddedText });
    }
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

/** Null where the collection has not been made. */
async function chunksThere(store: VectorStore, run: EstimateRequest): Promise<RunChunks | null> {
  try {
    const chunks = new RunChunks(run);
    await chunks.read(store, await run.source.paths?.());
    return chunks;
  } catch (error) {
    return noneIfGone(error);
  }
}

/** It may also be dropped while it is read. */
function noneIfGone(error: unknown): null {
  if (toAppError(error).code === 'collection_not_found') return null;
  throw error;
}

/** A full run leaves only what it has written itself, before it was killed. */
function staysAsItIs(there: RunChunks | null, key: string, mode: EstimateRequest['mode']): boolean {
  if (!there) return false;
  return (mode !== 'full' && there.isVisible(key)) || (there.isOwn(key) && !there.isUnembedded(key));
}
