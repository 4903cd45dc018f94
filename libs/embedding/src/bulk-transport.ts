import { AppError } from '@embergate/contracts/errors.ts';
import type { Heartbeat, TierName } from '@embergate/contracts/tiers.ts';
import { setTimeout as wait } from 'node:timers/promises';
import type { EmbedAnswer, EmbedTransport, SendRequest, WorkerView } from './transport.ts';

export type BulkSend = (request: Omit<SendRequest, 'tier' | 'lane' | 'jobId'>) => Promise<EmbedAnswer>;

export interface BulkTransportParts {
  transport: EmbedTransport;
  workers: WorkerView;
  space: string;
  /** In order of preference. */
  tiers: readonly TierName[];
  /** Told once a wait for the first ready worker begins; without it, none is waited for. */
  onWait?: () => void;
  /** Told of each job that the first declared tier would have taken, had it a ready worker: nothing waits there that shows it. */
  onMissed?: (first: TierName) => void;
  /** A tier whose workers do nothing but start for so long is given up where another is ready; default: half a minute. */
  slowStartMs?: number;
  /** Why nobody takes anything now, as answers say it. */
  whyNone?: () => string;
}

const LOOK_MS = 500;
const GO_AGAIN_MS = 100;
/** A tier is given up when its workers have been away for this many looks; one look may fall into a restart. */
const LOOKS_UNTIL_GONE = 4;
/** And when all they do for so long is to start: a model that loads is there sooner, an API may be away for hours. */
const SLOW_START_MS = 30_000;

/**
 * Sends bulk jobs to the first declared tier with a ready worker, each job anew. A job whose tier has lost all its
 * workers goes to another tier; where no other has any, it waits in its lane for the first worker that comes back. A job
 * that the queue lost, or that a worker gives back because it stops, is sent again.
 */
export class BulkTransport {
  readonly #parts: BulkTransportParts;

  constructor(parts: BulkTransportParts) {
    this.#parts = parts;
  }

  /** @throws what the transport throws; AppError `no_tier_available` where no worker is ready and none is waited for. */
  readonly send: BulkSend = async (request) => {
    let until = performance.now() + request.deadlineMs;
    for (;;) {
      request.signal?.throwIfAborted();
      let tier = this.#readyTier();
      if (tier === undefined) {
        tier = await this.#nextReadyTier(request.signal);
        // Nobody computed meanwhile: a job's deadline is for its wait behind others.
        until = performance.now() + request.deadlineMs;
      }
      if (tier !== this.#parts.tiers[0]) this.#miss();
      const left = new AbortController();
      const watch = this.#watch(tier, () => left.abort(new TierGone()));
      const signal = request.signal ? AbortSignal.any([request.signal, left.signal]) : left.signal;
      try {
        const deadlineMs = Math.max(1, until - performance.now());
        return await this.#parts.transport.send({ ...request, tier, lane: 'bulk', deadlineMs, signal });
      } catch (error) {
        if (!(error instanceof TierGone) && !mayGoAgain(error)) throw error;
        // A worker that stops says so a moment before it is known not to be ready.
        await wait(GO_AGAIN_MS, undefined, request.signal ? { signal: request.signal } : {}).catch(() =>
          request.signal?.throwIfAborted(),
        );
      } finally {
        clearInterval(watch);
      }
    }
  };

  #readyTier(): TierName | undefined {
    const { workers, space, tiers } = this.#parts;
    const ready = workers.living().filter((beat) => beat.space === space && beat.state === 'ready');
    return tiers.find((tier) => ready.some((beat) => beat.tier === tier));
  }

  async #nextReadyTier(signal: AbortSignal | undefined): Promise<TierName> {
    const { onWait, whyNone, tiers } = this.#parts;
    this.#miss();
    if (!onWait) {
      const details = { reason: whyNone?.() ?? `${tiers[0]}_absent`, retryAfterMs: 2_000 };
      throw new AppError('no_tier_available', `No worker of the tiers ${tiers.join(', ')} is ready.`, {
        details,
      });
    }
    onWait();
    for (;;) {
      this.#miss();
      await wait(LOOK_MS, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
      const tier = this.#readyTier();
      if (tier !== undefined) return tier;
    }
  }

  #miss(): void {
    const [first] = this.#parts.tiers;
    if (first !== undefined) this.#parts.onMissed?.(first);
  }

  /** Tells when the tier has no worker any more that takes work, or will soon, and another has. */
  #watch(tier: TierName, onGone: () => void): NodeJS.Timeout {
    const { workers, space, slowStartMs = SLOW_START_MS } = this.#parts;
    let looks = 0;
    let starting = 0;
    return setInterval(() => {
      const states = workers
        .living()
        .flatMap((beat) => (beat.tier === tier && beat.space === space ? [beat.state] : []));
      const isOnlyStarting = states.includes('starting') && !states.some(isAtWork);
      starting = isOnlyStarting && workers.isKnown() ? starting + 1 : 0;
      const isThere = states.some((state) => state !== 'misaligned');
      looks = isThere || !workers.isKnown() ? 0 : looks + 1;
      const other = this.#readyTier();
      const isGone = looks >= LOOKS_UNTIL_GONE || starting * LOOK_MS >= slowStartMs;
      if (isGone && other !== undefined && other !== tier) onGone();
    }, LOOK_MS);
  }
}

class TierGone extends Error {}

const isAtWork = (state: Heartbeat['state']): boolean => state === 'ready' || state === 'stalled';

/** Nothing is wrong with the job: the queue lost it, or the worker that had it stops, or turned out not to be fit for it. */
const mayGoAgain = (error: unknown): boolean =>
  error instanceof AppError &&
  (error.details['isLost'] === true || error.code === 'shutting_down' || error.code === 'worker_misaligned');
