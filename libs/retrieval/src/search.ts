import { AppError, toAppError, NO_VECTOR_CODES } from '@embergate/contracts/errors.ts';
import type {
  Degradation,
  EmbeddingReport,
  SearchRequest,
  SearchResponse,
  SearchTimings,
  Warning,
} from '@embergate/contracts/http-search.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { withTimeout } from '@embergate/platform/with-timeout.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import type { CollectionStamp, ScoredChunk, VectorStore } from '@embergate/vector-store/store.ts';
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
 * How deep fusion looks into each list. The same for every limit (the largest is as much), because scores are normalised
 * over the list: a longer answer then starts with the shorter one.
 */
const CANDIDATES = 100;
/** What is kept of the deadline for the search after the embedding. */
const SEARCH_RESERVE = 0.1;
/** What is kept of the embedding's time for the second space, where the first one falls silent. Its models are small. */
const SECOND_SPACE_RESERVE = 0.2;

/** One search: embed the query while full text is searched, then dense search, then fusion. */
export async function search(parts: SearchParts, request: SearchRequest): Promise<SearchResponse> {
  const startedAt = performance.now();
  const { store, defaults } = parts;
  const deadlineMs = request.deadlineMs ?? defaults.deadlineMs;
  const inTime = <T>(work: Promise<T>): Promise<T> => withDeadline(work, startedAt + deadlineMs, deadlineMs);
  const stamp = await inTime(store.getCollection(request.collection));
  const degradation = request.degradation ?? defaults.degradation;
  const candidates = {
    limit: request.mode === 'hybrid' || (request.rerank && parts.rerank) ? CANDIDATES : request.limit,
    filter: request.filter,
  };
  const warnings: Warning[] = [];

  // Full text runs while the model does; the wait for it is hidden behind the inference.
  const lexicalSearch =
    request.mode === 'dense'
      ? null
      : store.searchLexical(request.collection, lexicalText(request.query), candidates);
  lexicalSearch?.catch(() => undefined); // awaited below; a failure of the embedding may come first
  const embedUntil = startedAt + deadlineMs * (1 - SEARCH_RESERVE);
  const embedded = await embed(parts, request, { stamp, until: embedUntil, degradation });
  warnings.push(...embedded.warnings);

  const searchStartedAt = performance.now();
  const found = await inTime(retrieve(parts, request, { embedded, lexicalSearch, candidates }));
  const searchMs = performance.now() - searchStartedAt;
  const asked = { query: request.query, until: startedAt + deadlineMs, signal: parts.signal };
  const reranked = request.rerank
    ? await rerank(parts.rerank, found, asked)
    : { chunks: found, warnings: [], ms: 0 };
  warnings.push(...reranked.warnings);
  const results = reranked.chunks;
  return {
    results: results.slice(0, request.limit).map((chunk) => ({ ...chunk, score: round(chunk.score, 6) })),
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

interface Embedded {
  vector: Float32Array | null;
  /** Which of the collection's spaces it is of. */
  space: 'first' | 'second';
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
    return { ...(await embedIn(parts, request, { ...step, until, space: stamp.space })), space: 'first' };
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

async function retrieve(
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
  const { vector, space } = embedded;
  const denseSearch = store.searchDense(request.collection, vector, { ...candidates, space });
  if (!lexicalSearch) return denseSearch;
  const [dense, lexical] = await Promise.all([denseSearch, lexicalSearch]);
  return fuse(dense, lexical);
}

/** A store that hangs must not keep the caller beyond the deadline. @param until as performance.now(). */
function withDeadline<T>(work: Promise<T>, until: number, deadlineMs: number): Promise<T> {
  const message = `The vector store did not answer within ${deadlineMs} ms.`;
  return withTimeout(work, until - performance.now(), () => new AppError('deadline_exceeded', message));
}

export const round = (value: number, digits: number): number =>
  Math.round(value * 10 ** digits) / 10 ** digits;
