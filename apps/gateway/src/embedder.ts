import { AppError, toAppError, NO_VECTOR_CODES } from '@embergate/contracts/errors.ts';
import type { EmbeddingReport, Warning } from '@embergate/contracts/http-search.ts';
import { spaceId, type InputType } from '@embergate/contracts/space.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { BulkSend, BulkTransport } from '@embergate/embedding/bulk-transport.ts';
import { embedMany } from '@embergate/embedding/bulk.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import type { EmbeddedQuery } from '@embergate/retrieval/query-vector.ts';
import { round } from '@embergate/retrieval/round.ts';
import type { Coalescer } from './coalescer.ts';
import type { GatewayMetrics, SpaceLabels } from './metrics.ts';
import { queryCacheKey, type QueryCache } from './query-cache.ts';
import type { TextTokens } from './text-tokens.ts';
import { queueSilent } from './tiers/query-admission.ts';
import type { QueryRouter, RoutedQuery } from './tiers/query-router.ts';
import { withReason } from './tiers/with-reason.ts';

export interface EmbedderParts {
  model: InstalledModel;
  /** The tiers that this deployment declares, in order of preference. */
  tiers: readonly TierName[];
  texts: TextTokens;
  cache: QueryCache;
  inFlight: Coalescer<MadeVector>;
  router: QueryRouter;
  /** To the first declared tier that takes bulk work, and to the first declared one only. */
  bulk: BulkTransport;
  bulkToFirst: BulkTransport;
  /** False while the queue has been silent for too long. */
  isQueueKnown: () => boolean;
  /** Why the first declared tier takes nothing now, as answers say it. */
  whyNotFirst: () => string;
  log: Logger;
  metrics: GatewayMetrics;
  labels: SpaceLabels;
}

interface EmbedOneOptions {
  deadlineMs: number;
  firstTierOnly?: boolean;
  signal?: AbortSignal | undefined;
}

interface MadeBy {
  tier: TierName;
  variant: string;
  device: string;
  /** Why it was not the first declared tier. */
  reason: string | null;
}

/** A vector, who made it, and what it cost. */
export interface MadeVector extends MadeBy {
  vector: Float32Array;
  cached: boolean;
  predictedMs: number | null;
  admissionMs: number;
  inferenceMs: number;
}

/** Turns texts into vectors of one space, from the cache or through the tiers, and says honestly where they came from. */
export class Embedder {
  readonly space: string;
  readonly #parts: EmbedderParts;

  constructor(parts: EmbedderParts) {
    this.#parts = parts;
    this.space = spaceId(parts.model.space);
  }

  /** One text: from the cache, else with whoever asks for the same now, else on the query lane of a tier. */
  async embedOne(
    text: string,
    inputType: InputType,
    options: EmbedOneOptions,
  ): Promise<EmbeddedQuery & { tokens: number }> {
    try {
      return await this.#embedOne(text, inputType, options);
    } catch (error) {
      throw options.signal?.aborted ? error : this.#withReason(error);
    }
  }

  async #embedOne(
    text: string,
    inputType: InputType,
    { deadlineMs, firstTierOnly = false, signal }: EmbedOneOptions,
  ): Promise<EmbeddedQuery & { tokens: number }> {
    const startedAt = performance.now();
    const { texts, inFlight } = this.#parts;
    const { ids, prompted, warnings } = texts.encode(text, inputType);
    const tokenizeMs = performance.now() - startedAt;
    const cacheKey = queryCacheKey(this.space, inputType, text);
    const leftMs = deadlineMs - (performance.now() - startedAt);
    const made = await inFlight.run(
      firstTierOnly ? `${cacheKey} first tier` : cacheKey,
      { deadlineMs: leftMs, signal },
      (gone, untilMs) =>
        this.#make(cacheKey, {
          ids,
          text: prompted,
          tokens: texts.costOf(ids),
          deadlineMs: untilMs,
          firstTierOnly,
          signal: gone,
        }),
    );
    const tookMs = performance.now() - startedAt;
    this.#observe(made.tier, 'total', tookMs);
    const report = this.#report(made, tookMs);
    return {
      vector: made.vector,
      report,
      tokens: ids.length,
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

  /** Any number of texts, on the bulk lane; all of them have one deadline. */
  async embedList(
    texts: readonly string[],
    inputType: InputType,
    { deadlineMs, firstTierOnly = false, signal }: EmbedOneOptions,
  ): Promise<{ vectors: Float32Array[]; tokens: number; report: EmbeddingReport; warnings: Warning[] }> {
    const startedAt = performance.now();
    const { bulk, bulkToFirst, isQueueKnown, whyNotFirst } = this.#parts;
    if (!isQueueKnown()) throw queueSilent();
    const { inputs, prompted, tokens, warnings } = await this.#parts.texts.encodeList(
      texts,
      inputType,
      () => {
        signal?.throwIfAborted();
        if (performance.now() >= startedAt + deadlineMs) throw notReadInTime(deadlineMs);
      },
    );
    const transport = firstTierOnly ? bulkToFirst : bulk;
    // One report for all: a tier behind the first says more than the first.
    let made: MadeBy | undefined;
    const send: BulkSend = async (request) => {
      const leftMs = Math.max(1, startedAt + deadlineMs - performance.now());
      const whyNot = whyNotFirst();
      const answer = await transport.send({ ...request, deadlineMs: leftMs });
      const { variant, device } = answer.meta;
      const tier = answer.meta.tier as TierName;
      const reason = this.#rank(tier) > 0 ? whyNot : null;
      if (!made || this.#rank(tier) > this.#rank(made.tier)) made = { tier, variant, device, reason };
      return answer;
    };
    try {
      const asked = { space: this.space, inputs, texts: prompted, deadlineMs, signal };
      const vectors = await embedMany(send, asked);
      const by = { ...(made as MadeBy), cached: false, predictedMs: null };
      const report = this.#report(by, performance.now() - startedAt);
      return { vectors, tokens, report, warnings: [...warnings, ...latencyWarning(report)] };
    } catch (error) {
      throw signal?.aborted ? error : this.#withReason(error);
    }
  }

  /** Every failure of the tiers says in the words of the contract why there is no vector. */
  #withReason(thrown: unknown): AppError {
    const error = toAppError(thrown);
    if (error.code === 'internal') return this.#broken(error);
    if (error.details['reason'] !== undefined || !NO_VECTOR_CODES.has(error.code)) return error;
    const { isQueueKnown, whyNotFirst } = this.#parts;
    return withReason(error, error.code === 'queue_down' || !isQueueKnown() ? 'queue_down' : whyNotFirst());
  }

  /** A defect is for the log: a search goes on without it, and its caller could do nothing with its words. */
  #broken({ message, cause, details }: AppError): AppError {
    const { log, tiers } = this.#parts;
    log.error({ err: cause ?? message }, 'a text could not be embedded');
    return new AppError('internal', 'The text could not be embedded; the log of the gateway says why.', {
      cause,
      details: { reason: `${tiers[0]}_down`, ...details },
    });
  }

  async #make(cacheKey: string, query: RoutedQuery & { signal: AbortSignal }): Promise<MadeVector> {
    const { cache, router } = this.#parts;
    const startedAt = performance.now();
    const kept = await cache.get(cacheKey, query);
    if (kept) return { ...kept, cached: true, predictedMs: null, admissionMs: 0, inferenceMs: 0 };
    const deadlineMs = query.deadlineMs - (performance.now() - startedAt);
    const { answer, tier, reason, predictedMs, admissionMs } = await router.route({ ...query, deadlineMs });
    const { variant, device, inferenceMs } = answer.meta;
    const made = { vector: answer.vectors, tier, variant, device, reason };
    cache.put(cacheKey, made);
    this.#observe(tier, 'inference', inferenceMs);
    return { ...made, cached: false, predictedMs, admissionMs, inferenceMs };
  }

  /** The whole of it for each caller, the inference once for all that share it. */
  #observe(tier: TierName, stage: 'total' | 'inference', ms: number): void {
    const { metrics, labels } = this.#parts;
    metrics.embedSeconds.observe({ tier, stage, ...labels }, ms / 1_000);
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

const notReadInTime = (deadlineMs: number): AppError =>
  new AppError('deadline_exceeded', `The list could not be read within ${deadlineMs} ms.`);

/** A vector out of the cache came at once, whoever made it. */
const latencyWarning = ({ degraded, cached, tier, reason }: EmbeddingReport): Warning[] =>
  degraded && !cached
    ? [{ code: 'latency_degraded', message: `The ${tier} tier answered (${reason}); answers take longer.` }]
    : [];
