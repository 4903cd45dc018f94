import type { TierName } from '@embergate/contracts/tiers.ts';
import type { Fit } from '@embergate/routing/fit.ts';
import type { TierView } from '@embergate/routing/tier-view.ts';
import type { Random } from './random.ts';
import { PACKINGS } from './packing.ts';
import { SimWorker, type WorkerNote } from './sim-worker.ts';
import type { VirtualTime } from './virtual-time.ts';

const DEAD_AFTER_MS = 3_000;
const FORGET_AFTER_MS = 60_000;

/** One query in a tier's lane. */
export interface SimJob {
  /** In tokens. */
  length: number;
  /** Nobody computes it after that. */
  deadlineAt: number;
  /** Its caller still waits for this very job. */
  isWanted: boolean;
  isReserved: boolean;
  onAnswer: () => void;
  onError: () => void;
}

export interface SimTierOptions {
  name: TierName;
  time: VirtualTime;
  random: Random;
  truth: Fit;
  noise: number;
  bulkWaits: boolean;
  packing: keyof typeof PACKINGS;
}

/** What a gateway read about a tier at one moment. */
export interface TierSnapshot {
  notes: readonly WorkerNote[];
  aheadTokens: number;
}

/** A tier's query lane, its workers, and the tokens of what was admitted and is in no batch yet. */
export class SimTier {
  readonly name: TierName;
  readonly #options: SimTierOptions;
  readonly workers: SimWorker[] = [];
  #lane: SimJob[] = [];
  #aheadTokens = 0;
  bulkWaits: boolean;

  constructor(options: SimTierOptions) {
    this.#options = options;
    this.name = options.name;
    this.bulkWaits = options.bulkWaits;
  }

  get waiting(): number {
    return this.#lane.length;
  }

  get aheadTokens(): number {
    return this.#aheadTokens;
  }

  addWorker(loadMs: number): SimWorker {
    const { time, random, truth, noise } = this.#options;
    const worker = new SimWorker({ tier: this, time, random: random.fork(), truth, noise });
    this.workers.push(worker);
    worker.start(loadMs);
    return worker;
  }

  /** The check and the reservation in one step, as the script in Redis does it. */
  reserve(job: SimJob, maxAheadTokens: number): boolean {
    if (this.#aheadTokens > maxAheadTokens) return false;
    job.isReserved = true;
    this.#aheadTokens += job.length;
    return true;
  }

  /** Any number of times. */
  release(job: SimJob): void {
    if (!job.isReserved) return;
    job.isReserved = false;
    this.#aheadTokens -= job.length;
  }

  push(job: SimJob): void {
    this.#lane.push(job);
    this.#wakeAll();
  }

  giveBack(jobs: readonly SimJob[]): void {
    this.#lane.unshift(...jobs);
    this.#wakeAll();
  }

  /** The next batch. What is late or unwanted is dropped and never computed. */
  takeQueries(mostPaddedTokens: number, fit: Fit): SimJob[] {
    const { time, packing } = this.#options;
    const isLive = (job: SimJob): boolean => job.isWanted && job.deadlineAt > time.now;
    const waiting = this.#lane.filter(isLive);
    const batch = PACKINGS[packing](waiting, { mostPaddedTokens, fit });
    const taken = new Set(batch);
    for (const job of this.#lane) if (taken.has(job) || !isLive(job)) this.release(job);
    this.#lane = waiting.filter((job) => !taken.has(job));
    return batch;
  }

  snapshot(): TierSnapshot {
    const notes = this.workers.flatMap(({ note }) => (note ? [note] : []));
    return { notes, aheadTokens: this.#aheadTokens };
  }

  #wakeAll(): void {
    for (const worker of this.workers) worker.wake();
  }
}

/** What `@embergate/routing` decides on, from what was read a while ago. */
export function viewOf(
  name: TierName,
  snapshot: TierSnapshot,
  { now, share }: { now: number; share: number },
): TierView {
  const living = snapshot.notes.filter(({ beatAt }) => now - beatAt <= DEAD_AFTER_MS);
  const silent = snapshot.notes.filter(
    ({ beatAt }) => now - beatAt > DEAD_AFTER_MS && now - beatAt <= FORGET_AFTER_MS,
  );
  return {
    name,
    workers: living
      .filter(({ state }) => state === 'ready')
      .map(({ fit, batchEndsAt }) => ({ fit, busyMs: Math.max(0, batchEndsAt - now) })),
    starting: living.filter(({ state }) => state === 'starting').length,
    misaligned: 0,
    lost: silent.length + living.filter(({ state }) => state === 'stalled').length,
    aheadTokens: snapshot.aheadTokens,
    share,
  };
}
