import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import type {
  Degradation,
  SearchRequest,
  SearchResponse,
  SearchResult,
  Warning,
} from '@embergate/contracts/http-search.ts';
import { withTimeout } from '@embergate/platform/with-timeout.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import type { ScoredChunk, VectorStore } from '@embergate/vector-store/store.ts';
import { arrange } from './arrange.ts';
import { partlyEmbedded } from './embedded-share.ts';
import { fuse } from './fuse.ts';
import { embed, type Embedded, type QueryEmbedder } from './query-vector.ts';
import { asOfOneState, reading, type Reading } from './reading.ts';
import { rerank, type RerankStage } from './rerank.ts';
import { round } from './round.ts';

export interface SearchParts {
  store: VectorStore;
  embedder: QueryEmbedder;
  /** None: `rerank` is answered with a warning. */
  rerank?: RerankStage | undefined;
  defaults: { deadlineMs: number; degradation: Degradation };
  signal?: AbortSignal | undefined;
}

/**
 * How deep a search looks into each list. The same for every limit (the largest is as much), because scores are normalised
 * over the list: a longer answer then starts with the shorter one.
 */
const CANDIDATES = 100;
/** How deep where so many of those are copies and neighbours of each other that they do not fill the limit. */
const MORE_CANDIDATES = 400;
/** What is kept of the deadline for the search after the embedding. */
const SEARCH_RESERVE = 0.1;
/** So long, in milliseconds, results that are there wait for the count that only a warning needs. */
const COUNT_MS = 50;

/**
 * One search: embed the query while full text is searched, then dense search, fusion, and a list made for readers. Where the collection
 * moves to another space in between, once more, with the time that is left.
 */
export async function search(parts: SearchParts, request: SearchRequest): Promise<SearchResponse> {
  const startedAt = performance.now();
  return searchOnce(parts, request, startedAt).catch((error: unknown) => {
    if (!(error instanceof CollectionMoved)) throw error;
    return searchOnce(parts, request, startedAt).catch((again: unknown) => {
      throw again instanceof CollectionMoved ? again.cause : again;
    });
  });
}

/** What was embedded is of a space that the collection has left since. */
class CollectionMoved extends Error {
  override name = 'CollectionMoved';
}

async function searchOnce(
  parts: SearchParts,
  request: SearchRequest,
  startedAt: number,
): Promise<SearchResponse> {
  const { store, defaults } = parts;
  const deadlineMs = request.deadlineMs ?? defaults.deadlineMs;
  const inTime = <T>(work: Promise<T>): Promise<T> => withDeadline(work, startedAt + deadlineMs, deadlineMs);
  const stamp = await inTime(store.getCollection(request.collection));
  const degradation = request.degradation ?? defaults.degradation;
  const candidates = { limit: CANDIDATES, filter: request.filter };
  const warnings: Warning[] = [];

  // Full text runs while the model does; the wait for it is hidden behind the inference.
  const lexicalSearch = request.mode === 'dense' ? null : readFullText(parts, request, candidates);
  lexicalSearch?.catch(() => undefined); // awaited below; a failure of the embedding may come first
  const incomplete = partlyEmbedded(store, request.collection, request.filter);
  const embedUntil = startedAt + deadlineMs * (1 - SEARCH_RESERVE);
  const embedded = await embed(parts, request, { stamp, until: embedUntil, degradation });
  warnings.push(...embedded.warnings);

  const searchStartedAt = performance.now();
  const retrieved = await inTime(retrieve(parts, request, { embedded, lexicalSearch, candidates })).catch(
    ifMoved,
  );
  const countUntil = Math.min(performance.now() + COUNT_MS, startedAt + deadlineMs);
  const incompleteness = await withDeadline(incomplete, countUntil, deadlineMs).catch(() => null);
  if (incompleteness) warnings.push(incompleteness);
  const searchMs = performance.now() - searchStartedAt;
  const reranked = await rerankIfAsked(parts, request, { retrieved, until: startedAt + deadlineMs });
  warnings.push(...reranked.warnings);
  return {
    results: reranked.results.map((chunk) => ({ ...chunk, score: round(chunk.score, 6) })),
    embedding: embedded.report,
    warnings,
    timingsMs: {
      ...embedded.timingsMs,
      search: round(searchMs, 3),
      rerank: round(reranked.ms, 3),
      total: round(performance.now() - startedAt, 3),
    },
  };
}

function ifMoved(thrown: unknown): never {
  throw toAppError(thrown).code === 'space_mismatch'
    ? new CollectionMoved('moved', { cause: thrown })
    : thrown;
}

interface Reranking {
  results: SearchResult[];
  warnings: Warning[];
  ms: number;
}

/** The list as it was retrieved, or made anew in the reranker's order. @param until as performance.now(). */
async function rerankIfAsked(
  parts: SearchParts,
  request: SearchRequest,
  { retrieved: { found, results }, until }: { retrieved: Retrieved; until: number },
): Promise<Reranking> {
  if (!request.rerank) return { results, warnings: [], ms: 0 };
  const { query, limit } = request;
  const { chunks, warnings, ms } = await rerank(parts.rerank, found, { query, until, signal: parts.signal });
  return { results: arrange(chunks, { ...request.arrange, limit }), warnings, ms };
}

interface Candidates {
  limit: number;
  filter: SearchRequest['filter'];
}

interface RetrieveParts {
  embedded: Embedded;
  lexicalSearch: Promise<Reading> | null;
  candidates: Candidates;
}

interface Retrieved {
  /** Candidates, best first. */
  found: ScoredChunk[];
  /** The list that they make. Whoever changes their order arranges them again. */
  results: SearchResult[];
}

/** More candidates than usual where the usual ones make fewer results than there may be. */
async function retrieve(
  parts: SearchParts,
  request: SearchRequest,
  retrieval: RetrieveParts,
): Promise<Retrieved> {
  const options = { ...request.arrange, limit: request.limit };
  const found = await retrieveOnce(parts, request, retrieval);
  const results = arrange(found, options);
  const { candidates } = retrieval;
  // Where neither list was full there is nothing more.
  if (results.length >= request.limit || found.length < candidates.limit) return { found, results };
  const more = { ...candidates, limit: MORE_CANDIDATES };
  const lexicalSearch = retrieval.lexicalSearch && readFullText(parts, request, more);
  const all = await retrieveOnce(parts, request, { ...retrieval, lexicalSearch, candidates: more });
  return { found: all, results: arrange(all, options) };
}

async function retrieveOnce(
  parts: SearchParts,
  request: SearchRequest,
  { embedded, lexicalSearch, candidates }: RetrieveParts,
): Promise<ScoredChunk[]> {
  const readLexical = (): Promise<Reading> => readFullText(parts, request, candidates);
  // A dense search that had to do without a vector falls back to full text, which has not been started then.
  if (embedded.vector === null) return (await (lexicalSearch ?? readLexical())).chunks;
  const { vector, space, spaceId } = embedded;
  const readDense = (): Promise<Reading> =>
    reading((how) =>
      parts.store.searchDense(request.collection, vector, { ...candidates, ...how, space, spaceId }),
    );
  if (!lexicalSearch) return (await readDense()).chunks;
  const lists = await asOfOneState({ read: readLexical, begun: lexicalSearch }, readDense);
  return fuse(lists.late, lists.early, request.weights);
}

const readFullText = (
  { store }: SearchParts,
  { collection, query }: SearchRequest,
  candidates: Candidates,
): Promise<Reading> =>
  reading((how) => store.searchLexical(collection, lexicalText(query), { ...candidates, ...how }));

/** A store that hangs must not keep the caller beyond the deadline. @param until as performance.now(). */
function withDeadline<T>(work: Promise<T>, until: number, deadlineMs: number): Promise<T> {
  const message = `The vector store did not answer within ${deadlineMs} ms.`;
  return withTimeout(work, until - performance.now(), () => new AppError('deadline_exceeded', message));
}
