import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import type { EmbeddingReport, Warning } from '@embergate/contracts/http-search.ts';
import { spaceId, type InputType } from '@embergate/contracts/space.ts';
import type { Heartbeat, TierName } from '@embergate/contracts/tiers.ts';
import { embedMany } from '@embergate/embedding/bulk.ts';
import { predictMs } from '@embergate/embedding/fit.ts';
import type { EmbedTransport, WorkerView } from '@embergate/embedding/transport.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import type { Tokenizer } from '@embergate/models/tokenizer.ts';
import {
  round,
  type EmbeddedQuery,
  type EmbedQueryOptions,
  type QueryEmbedder,
} from '@embergate/retrieval/search.ts';
import type { GatewayMetrics } from './metrics.ts';

export interface EmbedderParts {
  transport: EmbedTransport;
  workers: WorkerView;
  tokenizer: Tokenizer;
  model: InstalledModel;
  /** The tiers that this deployment declares, in order of preference. */
  tiers: readonly TierName[];
  metrics: GatewayMetrics;
}

interface EmbedOneOptions {
  deadlineMs: number;
  firstTierOnly?: boolean;
  signal?: AbortSignal | undefined;
}

interface Tokenized {
  inputs: Uint32Array[];
  tokens: number;
  truncated: number;
  ms: number;
}

/** Turns texts into vectors through the tiers' queues, and says honestly where they came from. */
export class Embedder implements QueryEmbedder {
  readonly space: string;
  readonly #parts: EmbedderParts;
  /** Tokens this gateway waits for; what is ahead of the next query. */
  #tokensInFlight = 0;

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

  /** One text, on the query lane of the first tier that has a ready worker. */
  async embedOne(
    text: string,
    inputType: InputType,
    { deadlineMs, firstTierOnly = false, signal }: EmbedOneOptions,
  ): Promise<EmbeddedQuery & { tokens: number }> {
    const startedAt = performance.now();
    const tokenized = this.#tokenize([text], inputType);
    const { tier, fit } = this.#chooseTier(firstTierOnly ? this.#parts.tiers.slice(0, 1) : this.#parts.tiers);
    const predictedMs = fit ? predictMs(fit, this.#tokensInFlight + tokenized.tokens) : null;
    const admittedAt = performance.now();
    this.#tokensInFlight += tokenized.tokens;
    try {
      const { vectors, meta } = await this.#parts.transport.send({
        tier,
        lane: 'query',
        space: this.space,
        inputs: tokenized.inputs,
        deadlineMs: deadlineMs - (admittedAt - startedAt),
        signal,
      });
      const tookMs = performance.now() - startedAt;
      this.#count({ tier, outcome: 'ok', tookMs, inferenceMs: meta.inferenceMs });
      const report = this.#report({ tier, variant: meta.variant, device: meta.device, predictedMs, tookMs });
      return {
        vector: vectors,
        report,
        tokens: tokenized.tokens,
        timingsMs: {
          admission: round(admittedAt - startedAt - tokenized.ms, 3),
          // All of the way there and back that is not the model.
          queue: round(performance.now() - admittedAt - meta.inferenceMs, 3),
          tokenize: round(tokenized.ms, 3),
          inference: round(meta.inferenceMs, 3),
        },
        warnings: [...this.#truncationWarning(tokenized), ...degradedWarning(report)],
      };
    } catch (thrown) {
      const error = toAppError(thrown);
      const outcome = signal?.aborted ? 'abandoned' : error.code;
      this.#count({ tier, outcome, tookMs: performance.now() - startedAt });
      throw signal?.aborted ? thrown : withReason(error, tier);
    } finally {
      this.#tokensInFlight -= tokenized.tokens;
    }
  }

  /** Any number of texts, on the bulk lane. */
  async embedList(
    texts: readonly string[],
    inputType: InputType,
    { deadlineMs, signal }: { deadlineMs: number; signal?: AbortSignal | undefined },
  ): Promise<{ vectors: Float32Array[]; tokens: number; report: EmbeddingReport }> {
    const startedAt = performance.now();
    const { inputs, tokens } = this.#tokenize(texts, inputType);
    const { tier, worker } = this.#chooseTier(this.#parts.tiers);
    try {
      const vectors = await embedMany(this.#parts.transport, {
        tier,
        space: this.space,
        inputs,
        deadlineMs,
        signal,
      });
      const tookMs = performance.now() - startedAt;
      const { variant, device } = worker;
      return { vectors, tokens, report: this.#report({ tier, variant, device, predictedMs: null, tookMs }) };
    } catch (thrown) {
      throw signal?.aborted ? thrown : withReason(toAppError(thrown), tier);
    }
  }

  /**
   * @throws AppError `no_tier_available` with the reason when no declared tier has a ready worker of this space,
   * `queue_down` when nobody knows.
   */
  #chooseTier(tiers: readonly TierName[]): { tier: TierName; worker: Heartbeat; fit: Heartbeat['fit'] } {
    const living = this.#parts.workers.living().filter((beat) => beat.space === this.space);
    for (const tier of tiers) {
      const worker = living.find((beat) => beat.tier === tier && beat.state === 'ready');
      if (worker) return { tier, worker, fit: worker.fit };
    }
    if (!this.#parts.workers.isKnown()) {
      throw new AppError('queue_down', 'The queue is silent. Search answers lexically until it is back.', {
        details: { reason: 'queue_down', retryAfterMs: 1_000 },
      });
    }
    const [first] = this.#parts.tiers;
    const state = living.some((beat) => beat.tier === first && beat.state === 'starting')
      ? 'starting'
      : 'absent';
    throw new AppError(
      'no_tier_available',
      `No worker of the tiers ${tiers.join(', ')} is ready (${first}: ${state}).`,
      {
        details: { reason: `${first}_${state}`, retryAfterMs: 2_000 },
      },
    );
  }

  #tokenize(texts: readonly string[], inputType: InputType): Tokenized {
    const startedAt = performance.now();
    const prompt = this.#parts.model.space.prompts[inputType];
    let tokens = 0;
    let truncated = 0;
    const inputs = texts.map((text) => {
      const encoded = this.#parts.tokenizer.encode(prompt + text);
      tokens += encoded.ids.length;
      truncated += encoded.truncated ? 1 : 0;
      return encoded.ids;
    });
    return { inputs, tokens, truncated, ms: performance.now() - startedAt };
  }

  #report(
    made: Pick<EmbeddingReport, 'variant' | 'device' | 'predictedMs' | 'tookMs'> & { tier: TierName },
  ): EmbeddingReport {
    const [first = made.tier] = this.#parts.tiers;
    const degraded = made.tier !== first;
    return {
      model: this.#parts.model.name,
      space: this.space,
      variant: made.variant,
      tier: made.tier,
      device: made.device,
      degraded,
      reason: degraded ? `${first}_absent` : null,
      cached: false,
      predictedMs: made.predictedMs === null ? null : round(made.predictedMs, 1),
      tookMs: round(made.tookMs, 3),
    };
  }

  #truncationWarning({ truncated }: Tokenized): Warning[] {
    if (truncated === 0) return [];
    const { name, maxTokens } = this.#parts.model;
    return [
      {
        code: 'query_truncated',
        message: `${name} reads ${maxTokens} tokens; the rest of the query was left out.`,
      },
    ];
  }

  #count({ tier, outcome, tookMs, inferenceMs }: Counted): void {
    this.#parts.metrics.embedRequests.inc({ tier, outcome });
    this.#parts.metrics.embedSeconds.observe({ tier, stage: 'total' }, tookMs / 1_000);
    if (inferenceMs !== undefined)
      this.#parts.metrics.embedSeconds.observe({ tier, stage: 'inference' }, inferenceMs / 1_000);
  }
}

interface Counted {
  tier: TierName;
  outcome: string;
  tookMs: number;
  inferenceMs?: number;
}

const degradedWarning = ({ degraded, tier, reason }: EmbeddingReport): Warning[] =>
  degraded
    ? [{ code: 'latency_degraded', message: `The ${tier} tier answered (${reason}); answers take longer.` }]
    : [];

/** The same error with the reason that responses and headers name. */
function withReason(error: AppError, tier: TierName): AppError {
  const reasons: Partial<Record<AppError['code'], string>> = {
    queue_down: 'queue_down',
    storage_full: 'queue_down',
    deadline_exceeded: `${tier}_saturated`,
    embedding_failed: `${tier}_down`,
    no_tier_available: `${tier}_absent`,
  };
  const reason = error.details['reason'] ?? reasons[error.code];
  return reason === undefined
    ? error
    : new AppError(error.code, error.message, { cause: error.cause, details: { ...error.details, reason } });
}
