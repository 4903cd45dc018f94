import type { TierName } from '@embergate/contracts/tiers.ts';
import type { WorkerView } from '@embergate/embedding/transport.ts';
import { CLOSED, shareOf } from '@embergate/routing/breaker.ts';
import type { RunningBatch, TierLoad } from '@embergate/routing/tier-load.ts';
import type { TierView } from '@embergate/routing/tier-view.ts';
import type { SharedClock, TierAdmissions } from '../ports.ts';

export interface TierBoardParts {
  /** In the order in which the deployment declares them. */
  tiers: readonly TierName[];
  space: string;
  workers: WorkerView;
  admissions: Pick<TierAdmissions, 'load'>;
  clock: SharedClock;
}

const NOTHING: TierLoad = { reservedTokens: 0, batches: [], breaker: CLOSED, breakerText: '' };

/** What this gateway knows of the tiers: heartbeats, and the shared loads as it last read them. */
export class TierBoard {
  readonly tiers: readonly TierName[];
  readonly #parts: TierBoardParts;
  readonly #loads = new Map<TierName, { load: TierLoad; readAt: number }>();
  readonly #listeners: ((tier: TierName, load: TierLoad) => void)[] = [];
  #reading: Promise<void> | undefined;

  constructor(parts: TierBoardParts) {
    this.#parts = parts;
    this.tiers = parts.tiers;
  }

  /** Told of every load that is read, with a query or without. */
  onLoad(listener: (tier: TierName, load: TierLoad) => void): void {
    this.#listeners.push(listener);
  }

  /** Takes in what an admission brought along. */
  put(tier: TierName, load: TierLoad): void {
    this.#loads.set(tier, { load, readAt: performance.now() });
    for (const listener of this.#listeners) listener(tier, load);
  }

  /** Reads all loads anew; calls at the same time share one reading. @throws AppError `queue_down`. */
  refresh(): Promise<void> {
    this.#reading ??= Promise.all(
      this.tiers.map(async (tier) => this.put(tier, await this.#parts.admissions.load(tier, 'query'))),
    )
      .then(() => undefined)
      .finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  load(tier: TierName): TierLoad {
    return this.#loads.get(tier)?.load ?? NOTHING;
  }

  /** Milliseconds since the oldest of the loads was read. */
  get ageMs(): number {
    const readAt = this.tiers.map((tier) => this.#loads.get(tier)?.readAt ?? -Infinity);
    return performance.now() - Math.min(...readAt);
  }

  views(): TierView[] {
    return this.tiers.map((tier) => this.view(tier));
  }

  view(name: TierName): TierView {
    const { workers, space, clock } = this.#parts;
    const now = clock.now();
    const load = this.load(name);
    const ofTier = workers.living().filter((beat) => beat.tier === name && beat.space === space);
    const lost = workers.silent().filter((beat) => beat.tier === name && beat.space === space);
    const busyMs = new Map(load.batches.map(({ workerId, endsAt }) => [workerId, Math.max(0, endsAt - now)]));
    return {
      name,
      workers: ofTier.flatMap(({ state, fit, workerId }) =>
        state === 'ready' && fit ? [{ fit, busyMs: busyMs.get(workerId) ?? 0 }] : [],
      ),
      starting: ofTier.filter(({ state }) => state === 'starting').length,
      lost: lost.length + ofTier.filter(({ state }) => state === 'stalled').length,
      aheadTokens: Math.max(0, load.reservedTokens - runningTokens(load.batches, now)),
      share: shareOf(load.breaker, now),
    };
  }

  /** Tokens of queries that workers compute now: reserved, and not ahead of anybody. */
  runningTokens(tier: TierName): number {
    return runningTokens(this.load(tier).batches, this.#parts.clock.now());
  }
}

const runningTokens = (batches: readonly RunningBatch[], now: number): number =>
  batches.reduce((sum, { endsAt, queryTokens }) => sum + (endsAt > now ? queryTokens : 0), 0);
