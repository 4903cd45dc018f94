import { AppError, toAppError, NO_VECTOR_CODES } from '@embergate/contracts/errors.ts';
import type {
  Degradation,
  EmbeddingReport,
  SearchRequest,
  SearchResponse,
  SearchResult,
  SearchTimings,
  Warning,
} from '@embergate/contracts/http-search.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { withTimeout } from '@embergate/platform/with-timeout.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import type { CollectionStamp, ScoredChunk, VectorStore } from '@embergate/vector-store/store.ts';
import { arrange } from './arrange.ts';
import { partlyEmbedded } from './embedded-share.ts';
import { fuse } from './fuse.ts';
import { rerank, type RerankStage } from './rerank.ts';

/** A query's vector, and what the response says of it. */
export interface EmbeddedQuery {
  vector: Float32Array;
  report: EmbeddingReport;
  timingsMs: Pick<SearchTimings, 'admission' | 'queue' | 'tokenize' | 'inference'>;
  warnings: Warning[];
}

export interface EmbedQueryOptions {
  space: EmbeddingSpace;
  deadlineMs: number;
  /** No other tier than the first declared one may answer. */
  firstTierOnly: boolean;
  signal?: AbortSignal | undefined;
}

/** What retrieval needs of the tiers. */
export interface QueryEmbedder {
  /** Whether it can be asked for vectors of that space. */
  serves: (space: EmbeddingSpace) => boolean;
  /**
   * @throws AppError `no_tier_available`, `queue_down`, `deadline_exceeded`, `embedding_failed`, with
   * `details.reason` as the response names it (`cpu_absent`, `queue_down`, ...); `space_mismatch` where no tier serves the space.
   */
  embedQuery: (text: string, options: EmbedQueryOptions) => Promise<EmbeddedQuery>;
}

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
/** What is kept of the embedding's time for the second space, where the first one falls silent. Its models are small. */
const SECOND_SPACE_RESERVE = 0.2;

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
  const lexicalSearch =
    request.mode === 'dense'
      ? null
      : store.searchLexical(request.collection, lexicalText(request.query), candidates);
  lexicalSearch?.catch(() => undefined); // awaited below; a failure of the embedding may come first
  const incomplete = partlyEmbedded(store, request.collection);
  const embedUntil = startedAt + deadlineMs * (1 - SEARCH_RESERVE);
  const embedded = await embed(parts, request, { stamp, until: embedUntil, degradation });
  warnings.push(...embedded.warnings);

  const searchStartedAt = performance.now();
  const retrieved = await inTime(retrieve(parts, request, { embedded, lexicalSearch, candidates })).catch(
    ifMoved,
  );
  // No reason to be late: results are there.
  const incompleteness = await inTime(incomplete).catch(() => null);
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

interface Embedded {
  vector: Float32Array | null;
  /** Which of the collection's spaces it is of. */
  space: 'first' | 'second';
  /** Its id. */
  spaceId: string;
  report: EmbeddingReport;
  timingsMs: EmbeddedQuery['timingsMs'];
  warnings: Warning[];
}

interface EmbedStep {
  stamp: CollectionStamp;
  /** As performance.now(). */
  until: number;
  degradation: Degradation;
}

/** The first step of the ladder that gives a vector: the collection's space, its second one, none. */
async function embed(parts: SearchParts, request: SearchRequest, step: EmbedStep): Promise<Embedded> {
  if (request.mode === 'lexical') return withoutVector(null);
  const { stamp, degradation } = step;
  const startedAt = performance.now();
  const hasSecond = stamp.secondSpace && degradation === 'allow' && parts.embedder.serves(stamp.secondSpace);
  const reserve = hasSecond ? SECOND_SPACE_RESERVE : 0;
  const until = step.until - (step.until - startedAt) * reserve;
  try {
    const embedded = await embedIn(parts, request, { ...step, until, space: stamp.space });
    return { ...embedded, space: 'first', spaceId: spaceId(stamp.space) };
  } catch (thrown) {
    const error = toAppError(thrown);
    if (parts.signal?.aborted || degradation !== 'allow' || !NO_VECTOR_CODES.has(error.code)) throw error;
    const reason = typeof error.details['reason'] === 'string' ? error.details['reason'] : error.code;
    const second = await embedInSecond(parts, request, { ...step, reason });
    const tookMs = performance.now() - startedAt;
    return second ?? withoutVector({ reason, message: error.message, tookMs });
  }
}

function embedIn(
  { embedder, signal }: SearchParts,
  { query }: SearchRequest,
  { space, until, degradation }: EmbedStep & { space: EmbeddingSpace },
): Promise<EmbeddedQuery> {
  const deadlineMs = until - performance.now();
  return embedder.embedQuery(query, { firstTierOnly: degradation === 'forbid', space, deadlineMs, signal });
}

/** Null where the collection carries no second space, or none of its tiers answers either. @param reason why the first gave none. */
async function embedInSecond(
  parts: SearchParts,
  request: SearchRequest,
  step: EmbedStep & { reason: string },
): Promise<Embedded | null> {
  const { secondSpace } = step.stamp;
  if (!secondSpace || !parts.embedder.serves(secondSpace) || step.until <= performance.now()) return null;
  try {
    const embedded = await embedIn(parts, request, { ...step, space: secondSpace });
    const { model, tier } = embedded.report;
    const message = `The ${tier} tier of ${model} answered, in the collection's second space (${step.reason}).`;
    return {
      ...embedded,
      space: 'second',
      spaceId: spaceId(secondSpace),
      report: { ...embedded.report, degraded: true, reason: step.reason },
      warnings: [...embedded.warnings, { code: 'second_space', message }],
    };
  } catch (thrown) {
    // Whatever it was: the full text is still there.
    if (parts.signal?.aborted) throw thrown;
    return null;
  }
}

/** The answer of a search without a vector: asked for (`null`), or the last step of the ladder. */
function withoutVector(degraded: { reason: string; message: string; tookMs: number } | null): Embedded {
  return {
    vector: null,
    space: 'first',
    spaceId: '',
    report: {
      model: '',
      space: '',
      variant: '',
      tier: 'none',
      device: 'none',
      degraded: degraded !== null,
      reason: degraded?.reason ?? null,
      cached: false,
      predictedMs: null,
      tookMs: round(degraded?.tookMs ?? 0, 3),
    },
    timingsMs: { admission: 0, queue: 0, tokenize: 0, inference: 0 },
    warnings: degraded
      ? [{ code: 'lexical_only', message: `Only full text was searched: ${degraded.message}` }]
      : [],
  };
}

interface RetrieveParts {
  embedded: Embedded;
  lexicalSearch: Promise<ScoredChunk[]> | null;
  candidates: { limit: number; filter: SearchRequest['filter'] };
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
  const lexicalSearch =
    retrieval.lexicalSearch &&
    parts.store.searchLexical(request.collection, lexicalText(request.query), more);
  const all = await retrieveOnce(parts, request, { ...retrieval, lexicalSearch, candidates: more });
  return { found: all, results: arrange(all, options) };
}

async function retrieveOnce(
  { store }: SearchParts,
  request: SearchRequest,
  { embedded, lexicalSearch, candidates }: RetrieveParts,
): Promise<ScoredChunk[]> {
  if (embedded.vector === null) {
    // A dense search that had to do without a vector falls back to full text, which has not been started then.
    const lexical =
      lexicalSearch ?? store.searchLexical(request.collection, lexicalText(request.query), candidates);
    return lexical;
  }
  const { vector, space, spaceId: id } = embedded;
  const denseSearch = store.searchDense(request.collection, vector, { ...candidates, space, spaceId: id });
  if (!lexicalSearch) return denseSearch;
  const [dense, lexical] = await Promise.all([denseSearch, lexicalSearch]);
  return fuse(dense, lexical, request.weights);
}

/** A store that hangs must not keep the caller beyond the deadline. @param until as performance.now(). */
function withDeadline<T>(work: Promise<T>, until: number, deadlineMs: number): Promise<T> {
  const message = `The vector store did not answer within ${deadlineMs} ms.`;
  return withTimeout(work, until - performance.now(), () => new AppError('deadline_exceeded', message));
}

export const round = (value: number, digits: number): number =>
  Math.round(value * 10 ** digits) / 10 ** digits;
