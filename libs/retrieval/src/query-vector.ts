import { NO_VECTOR_CODES, toAppError } from '@embergate/contracts/errors.ts';
import type {
  Degradation,
  EmbeddingReport,
  SearchRequest,
  SearchTimings,
  Warning,
} from '@embergate/contracts/http-search.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { CollectionStamp } from '@embergate/vector-store/store.ts';
import { round } from './round.ts';

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

interface LadderParts {
  embedder: QueryEmbedder;
  signal?: AbortSignal | undefined;
}

/** What is kept of the embedding's time for the second space, where the first one falls silent. Its models are small. */
const SECOND_SPACE_RESERVE = 0.2;

/** The vector that a search goes on with, or why there is none. */
export interface Embedded {
  vector: Float32Array | null;
  /** Which of the collection's spaces it is of. */
  space: 'first' | 'second';
  /** Its id. */
  spaceId: string;
  report: EmbeddingReport;
  timingsMs: EmbeddedQuery['timingsMs'];
  warnings: Warning[];
}

export interface EmbedStep {
  stamp: CollectionStamp;
  /** As performance.now(). */
  until: number;
  degradation: Degradation;
}

/** The first step of the ladder that gives a vector: the collection's space, its second one, none. */
export async function embed(parts: LadderParts, request: SearchRequest, step: EmbedStep): Promise<Embedded> {
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
  { embedder, signal }: LadderParts,
  { query }: SearchRequest,
  { space, until, degradation }: EmbedStep & { space: EmbeddingSpace },
): Promise<EmbeddedQuery> {
  const deadlineMs = until - performance.now();
  return embedder.embedQuery(query, { firstTierOnly: degradation === 'forbid', space, deadlineMs, signal });
}

/** Null where the collection carries no second space, or none of its tiers answers either. @param reason why the first gave none. */
async function embedInSecond(
  parts: LadderParts,
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
