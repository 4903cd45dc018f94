import { AppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingReport, Warning } from '@embergate/contracts/http-search.ts';
import { spaceId, type InputType } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { BulkTransport } from '@embergate/embedding/bulk-transport.ts';
import { embedMany } from '@embergate/embedding/bulk.ts';
import type { EmbedAnswer } from '@embergate/embedding/transport.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import {
  round,
  type EmbeddedQuery,
  type EmbedQueryOptions,
  type QueryEmbedder,
} from '@embergate/retrieval/search.ts';
import type { Coalescer } from './coalescer.ts';
import type { GatewayMetrics } from './metrics.ts';
import { queryCacheKey, type QueryCache } from './query-cache.ts';
import type { TextTokens } from './text-tokens.ts';
import type { QueryRouter } from './tiers/query-router.ts';

export interface EmbedderParts {
  model: InstalledModel;
  /** The tiers that this deployment declares, in order of preference. */
  tiers: readonly TierName[];
  texts: TextTokens;
  cache: QueryCache;
  inFlight: Coalescer<MadeVector>;
  router: QueryRouter;
  bulk: BulkTransport;
  /** Why the first declared tier takes nothing now, as answers say it. */
  whyNotFirst: () => string;
  metrics: GatewayMetrics;
}

interface EmbedOneOptions {
  deadlineMs: number;
  firstTierOnly?: boolean;
  signal?: AbortSignal | undefined;
}

/** A vector, who made it, and what it cost. */
export interface MadeVector {
  vector: Float32Array;
  tier: TierName;
  variant: string;
  device: string;
  reason: string | null;
  cached: boolean;
  predictedMs: number | null;
  admissionMs: number;
  inferenceMs: number;
}

/** Turns texts into vectors, from the cache or through the tiers, and says honestly where they came from. */
export class Embedder implements QueryEmbedder {
  readonly space: string;
  readonly #parts: EmbedderParts;

  constructor(parts: EmbedderParts) {
    this.#parts = parts;
    this.space = spaceId(parts.model.space);
  }

  async embedQuery(
    text: string,
    { space, deadlineMs, firstTierOnly, signal }: EmbedQueryOptions,
  ): Promise<EmbeddedQuery> {
    if (spaceId(space) !== this.space) {
      throw new AppError(
        'space_mismatch',
        `The collection lies in the space ${spaceId(space)}, this gateway embeds in ${this.space}. Set EMBEDDING_MODEL to the collection's model.`,
      );
    }
    return this.embedOne(text, 'query', { deadlineMs, firstTierOnly, signal });
  }

  /** One text: from the cache, else with whoever asks for the same now, else on the query lane of a tier. */
  async embedOne(
    text: string,
    inputType: InputType,
    { deadlineMs, firstTierOnly = false, signal }: EmbedOneOptions,
  ): Promise<EmbeddedQuery & { tokens: number }> {
    const startedAt = performance.now();
    const { texts, inFlight, metrics } = this.#parts;
    const { inputs, tokens, warnings, ms: tokenizeMs } = texts.encode([text], inputType);
    const [ids = new Uint32Array()] = inputs;
    const cacheKey = queryCacheKey(this.space, inputType, text);
    const leftMs = deadlineMs - (performance.now() - startedAt);
    const made = await inFlight.run(
      firstTierOnly ? `${cacheKey} first tier` : cacheKey,
      { deadlineMs: leftMs, signal },
      (gone, untilMs) => this.#make(cacheKey, { ids, deadlineMs: untilMs, firstTierOnly, signal: gone }),
    );
    const tookMs = performance.now() - startedAt;
    metrics.embedSeconds.observe({ tier: made.tier, stage: 'total' }, tookMs / 1_000);
    if (!made.cached)
      metrics.embedSeconds.observe({ tier: made.tier, stage: 'inference' }, made.inferenceMs / 1_000);
    const report = this.#report(made, tookMs);
    return {
      vector: made.vector,
      report,
      tokens,
      timingsMs: {
        admission: round(made.admissionMs, 3),
        // All of the way there and back that is not the model.
        queue: round(Math.max(0, tookMs - tokenizeMs - made.admissionMs - made.inferenceMs), 3),
        tokenize: round(tokenizeMs, 3),
        inference: round(made.inferenceMs, 3),
      },
      warnings: [...warnings, ...latencyWarning(report)],
    };
  }

  /** Any number of texts, on the bulk lane. */
  async embedList(
    texts: readonly string[],
    inputType: InputType,
    { deadlineMs, signal }: { deadlineMs: number; signal?: AbortSignal | undefined },
  ): Promise<{ vectors: Float32Array[]; tokens: number; report: EmbeddingReport }> {
    const startedAt = performance.now();
    const { inputs, tokens } = this.#parts.texts.encode(texts, inputType);
    let by: EmbedAnswer['meta'] | undefined;
    const vectors = await embedMany(this.#parts.bulk.send, {
      space: this.space,
      inputs,
      deadlineMs,
      signal,
      // One report for all: a tier behind the first says more than the first.
      onEmbedded: (_inputs, meta) => {
        if (!by || this.#rank(meta.tier) > this.#rank(by.tier)) by = meta;
      },
    });
    const { variant, device } = by as EmbedAnswer['meta'];
    const tier = (by as EmbedAnswer['meta']).tier as TierName;
    const reason = this.#rank(tier) > 0 ? this.#parts.whyNotFirst() : null;
    const made = { tier, variant, device, reason, cached: false, predictedMs: null };
    return { vectors, tokens, report: this.#report(made, performance.now() - startedAt) };
  }

  async #make(
    cacheKey: string,
    query: { ids: Uint32Array; deadlineMs: number; firstTierOnly: boolean; signal: AbortSignal },
  ): Promise<MadeVector> {
    const { cache, router } = this.#parts;
    const startedAt = performance.now();
    const kept = await cache.get(cacheKey, query);
    if (kept) return { ...kept, cached: true, predictedMs: null, admissionMs: 0, inferenceMs: 0 };
    const deadlineMs = query.deadlineMs - (performance.now() - startedAt);
    const { answer, tier, reason, predictedMs, admissionMs } = await router.route({ ...query, deadlineMs });
    const { variant, device, inferenceMs } = answer.meta;
    const made = { vector: answer.vectors, tier, variant, device, reason };
    cache.put(cacheKey, made);
    return { ...made, cached: false, predictedMs, admissionMs, inferenceMs };
  }

  #rank(tier: string): number {
    return this.#parts.tiers.findIndex((name) => name === tier);
  }

  #report(
    {
      tier,
      variant,
      device,
      reason,
      cached,
      predictedMs,
    }: Omit<MadeVector, 'vector' | 'admissionMs' | 'inferenceMs'>,
    tookMs: number,
  ): EmbeddingReport {
    const [first] = this.#parts.tiers;
    const degraded = tier !== first;
    return {
      model: this.#parts.model.name,
      space: this.space,
      variant,
      tier,
      device,
      degraded,
      reason: degraded ? reason : null,
      cached,
      predictedMs: predictedMs === null ? null : round(predictedMs, 1),
      tookMs: round(tookMs, 3),
    };
  }
}

/** A vector out of the cache came at once, whoever made it. */
const latencyWarning = ({ degraded, cached, tier, reason }: EmbeddingReport): Warning[] =>
  degraded && !cached
    ? [{ code: 'latency_degraded', message: `The ${tier} tier answered (${reason}); answers take longer.` }]
    : [];
