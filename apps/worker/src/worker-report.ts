import type { Alignment } from '@embergate/contracts/alignment.ts';
import type { Heartbeat } from '@embergate/contracts/tiers.ts';
import type { Batcher } from '@embergate/embedding/batcher.ts';
import { tokensWithin, type LiveFit } from '@embergate/routing/fit.ts';
import { QUERY_BATCH_MS } from '@embergate/routing/tier-view.ts';

/** How much one batch moves the mean that is shown to people. */
const MEAN_WEIGHT = 0.1;
/** A query of usual length, in tokens. */
const USUAL_QUERY_TOKENS = 16;
/** Twice what one batch holds: the next batch is here when the last one ends, and no job is hoarded. */
const BATCHES_AT_A_TIME = 2;
const QUERIES_AT_A_TIME = { min: 2, max: 64 } as const;

type Identity = Pick<Heartbeat, 'workerId' | 'tier' | 'space' | 'model' | 'variant'>;
/** Until the model has been seen to run on one. */
const NO_DEVICE = 'none';

/**
 * What this worker says of itself:
 *
 *   starting --model ran--> ready --batch overdue--> stalled --batch ended--> ready --SIGTERM--> draining
 *      ^                     |  ^
 *      +----- model away ----+  |--vectors not those of the collections--> misaligned --they are again--> ready
 */
export class WorkerReport {
  readonly #identity: Identity;
  #device: Required<Pick<Heartbeat, 'device' | 'deviceReason'>> = { device: NO_DEVICE, deviceReason: '' };
  #model: { batcher: Batcher; fit: LiveFit } | undefined;
  #isModelReady = false;
  #isDraining = false;
  #alignment: Alignment | null = null;
  #isAligned = true;
  #batchTokens = 0;

  constructor(identity: Identity) {
    this.#identity = identity;
  }

  /** @param deviceReason why it is this one, for people. */
  setDevice(device: string, deviceReason: string): void {
    this.#device = { device, deviceReason };
  }

  /** The model has been loaded and has run. */
  warm(model: { batcher: Batcher; fit: LiveFit }): void {
    this.#model = model;
    this.#isModelReady = true;
  }

  setModelReady(isReady: boolean): void {
    this.#isModelReady = isReady;
  }

  setAlignment(alignment: Alignment | null, isAligned: boolean): void {
    this.#alignment = alignment;
    this.#isAligned = isAligned;
  }

  get isAligned(): boolean {
    return this.#isAligned;
  }

  drain(): void {
    this.#isDraining = true;
  }

  addBatch({ paddedTokens }: { paddedTokens: number }): void {
    const before = this.#batchTokens;
    this.#batchTokens = before === 0 ? paddedTokens : before + MEAN_WEIGHT * (paddedTokens - before);
  }

  get state(): Heartbeat['state'] {
    if (this.#isDraining) return 'draining';
    if (!this.#model || !this.#isModelReady) return 'starting';
    if (!this.#isAligned) return 'misaligned';
    return this.#model.batcher.overdueMs > 0 ? 'stalled' : 'ready';
  }

  /** Queries to take at a time: more than what fits the next batches would be hoarded from other workers. */
  get queriesAtATime(): number {
    if (!this.#model) return QUERIES_AT_A_TIME.min;
    const perBatch = Math.floor(tokensWithin(this.#model.fit.current, QUERY_BATCH_MS) / USUAL_QUERY_TOKENS);
    return Math.min(QUERIES_AT_A_TIME.max, Math.max(QUERIES_AT_A_TIME.min, BATCHES_AT_A_TIME * perBatch));
  }

  describe(): Omit<Heartbeat, 'at'> {
    return {
      ...this.#identity,
      ...this.#device,
      state: this.state,
      fit: this.#model?.fit.current ?? null,
      batchTokens: Math.round(this.#batchTokens),
      alignment: this.#alignment,
    };
  }
}
