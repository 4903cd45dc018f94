import type { SimTier } from './sim-tier.ts';
import type { SimWorker } from './sim-worker.ts';
import type { World } from './world.ts';

const POLL_MS = 10_000;
/** Workers are taken away only when nothing asked for them for this long, as Kubernetes and KEDA wait (there: 5 to 10 min). */
const STABILISE_MS = 120_000;

export interface AutoscalerOptions {
  world: World;
  tier: SimTier;
  wanted: (world: World, tier: SimTier) => number;
  loadMs: number;
  maxWorkers: number;
}

/** Asks every ten seconds how many workers are wanted: up at once, down to the most of the last two minutes. */
export class Autoscaler {
  readonly #options: AutoscalerOptions;
  readonly #asked: { at: number; wanted: number }[] = [];
  /** What was asked for and what there was, every ten seconds. */
  readonly history: { at: number; wanted: number; workers: number }[] = [];

  constructor(options: AutoscalerOptions) {
    this.#options = options;
    options.world.time.every(POLL_MS, () => this.#poll());
  }

  #poll(): void {
    const { world, tier, maxWorkers, loadMs } = this.#options;
    const { now } = world.time;
    const wanted = Math.min(maxWorkers, this.#options.wanted(world, tier));
    this.#asked.push({ at: now, wanted });
    const recent = this.#asked.filter(({ at }) => at > now - STABILISE_MS);
    const most = recent.reduce((max, one) => Math.max(max, one.wanted), 0);
    const alive = tier.workers.filter((worker) => !worker.isGone);
    for (let count = alive.length; count < wanted; count++) tier.addWorker(loadMs);
    for (const worker of alive.slice(Math.max(most, wanted))) retire(tier, worker);
    const workers = tier.workers.filter((worker) => !worker.isGone).length;
    this.history.push({ at: now, wanted, workers });
  }
}

function retire(tier: SimTier, worker: SimWorker): void {
  tier.workers.splice(tier.workers.indexOf(worker), 1);
  worker.retire();
}
