import type { Heartbeat, TierName } from '@embergate/contracts/tiers.ts';
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
/** A queue that answers no reading for this long is silent. Shorter than what makes any answer overdue. */
const SILENT_MS = 150;
/**
 * So long after its predicted end a batch that was not taken back still counts as running: what is in it would otherwise be
 * predicted to be computed again. A killed worker takes no batch back; its callers have been answered elsewhere by then.
 */
const OVERDUE_BATCH_MS = 1_000;

/** What this gateway knows of the tiers: heartbeats, and the shared loads as it last read them. */
export class TierBoard {
  readonly tiers: readonly TierName[];
  readonly #parts: TierBoardParts;
  readonly #loads = new Map<TierName, { load: TierLoad; readAt: number }>();
  readonly #listeners: ((tier: TierName, load: TierLoad) => void)[] = [];
  #reading: { done: Promise<void>; since: number } | undefined;
  #nextReading: Promise<void> | undefined;
  /** When a reading last failed or ended late. */
  #silentUntil = -Infinity;

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

  /** Reads all loads as they are from now on; calls at the same time share one reading. @throws AppError `queue_down`. */
  refresh(): Promise<void> {
    if (!this.#reading) return this.#read();
    // The one under way may have been begun before what the caller has heard of.
    this.#nextReading ??= this.#reading.done
      .catch(() => undefined)
      .then(() => {
        this.#nextReading = undefined;
        return this.#reading?.done ?? this.#read();
      });
    return this.#nextReading;
  }

  #read(): Promise<void> {
    const { admissions } = this.#parts;
    const since = performance.now();
    const loads = this.tiers.map(async (tier) => this.put(tier, await admissions.load(tier, 'query')));
    const done = Promise.all(loads).then(
      () => this.#endReading(since),
      (error: unknown) => {
        this.#endReading(-Infinity);
        throw error;
      },
    );
    this.#reading = { done, since };
    return done;
  }

  #endReading(since: number): void {
    const now = performance.now();
    if (now - since > SILENT_MS) this.#silentUntil = now;
    this.#reading = undefined;
  }

  /** Whether the queue was silent at any time since then: what was waited for may hang there, and not in a tier. */
  wasSilentSince(at: number): boolean {
    const isSilent = this.#reading !== undefined && performance.now() - this.#reading.since > SILENT_MS;
    return isSilent || this.#silentUntil >= at;
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
    const now = this.#parts.clock.now();
    const load = this.load(name);
    const ofTier = this.beatsOf(name);
    const lost = this.#ofTier(name, this.#parts.workers.silent());
    const busyMs = new Map(load.batches.map(({ workerId, endsAt }) => [workerId, Math.max(0, endsAt - now)]));
    return {
      name,
      workers: ofTier.flatMap(({ state, fit, workerId }) =>
        state === 'ready' && fit ? [{ fit, busyMs: busyMs.get(workerId) ?? 0 }] : [],
      ),
      starting: ofTier.filter(({ state }) => state === 'starting').length,
      lost: lost.length + ofTier.filter(({ state }) => state === 'stalled').length,
      misaligned: ofTier.filter(({ state }) => state === 'misaligned').length,
      aheadTokens: Math.max(0, load.reservedTokens - runningTokens(load.batches, now)),
      share: shareOf(load.breaker, now),
    };
  }

  /** Of its workers that live and embed in this gateway's space. */
  beatsOf(tier: TierName): Heartbeat[] {
    return this.#ofTier(tier, this.#parts.workers.living());
  }

  #ofTier(tier: TierName, beats: readonly Heartbeat[]): Heartbeat[] {
    return beats.filter((beat) => beat.tier === tier && beat.space === this.#parts.space);
  }

  /** Tokens of queries that workers compute now: reserved, and not ahead of anybody. */
  runningTokens(tier: TierName): number {
    return runningTokens(this.load(tier).batches, this.#parts.clock.now());
  }
}

const runningTokens = (batches: readonly RunningBatch[], now: number): number =>
  batches.reduce(
    (sum, { endsAt, queryTokens }) => sum + (endsAt + OVERDUE_BATCH_MS > now ? queryTokens : 0),
    0,
  );
