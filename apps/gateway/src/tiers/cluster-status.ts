import type { Cluster, LaneDepth, SpaceStatus } from '@embergate/contracts/http-cluster.ts';
import { LANES, type Heartbeat, type TierName } from '@embergate/contracts/tiers.ts';
import type { WorkerView } from '@embergate/embedding/transport.ts';
import type { Logger } from '@embergate/platform/logs.ts';
import { withTimeout } from '@embergate/platform/with-timeout.ts';
import { stateOf } from '@embergate/routing/breaker.ts';
import { requiredWorkers } from '@embergate/routing/required-workers.ts';
import { TierStateTracker, type TierState } from '@embergate/routing/tier-state.ts';
import { predictArrivalMs, tokensPerMs, waitMs } from '@embergate/routing/tier-view.ts';
import type { SpaceLabels, TierGauges } from '../metrics.ts';
import type { DemandCounts, LaneDepths } from '../ports.ts';
import { queueSilent } from './query-admission.ts';
import type { TierBoard } from './tier-board.ts';

export interface ClusterStatusParts {
  space: string;
  labels: SpaceLabels;
  board: TierBoard;
  workers: WorkerView;
  lanes: LaneDepths;
  demand: DemandCounts;
  /** What `saturated` is measured by, in milliseconds. */
  queryDeadlineMs: number;
  log: Logger;
}

/** A query of usual length. */
const USUAL_TOKENS = 16;
const TICK_MS = 500;
const DESCRIBE_TIMEOUT_MS = 1_000;
const TICKS_PER_SWEEP = 10;
const BREAKER_LEVELS = { closed: 0, half_open: 1, open: 2 } as const;

/**
 * What people and autoscalers are told of the tiers. Looks twice a second: reads the shared loads, keeps the states,
 * says each change of a state once, and sweeps the lanes of tiers whose workers are gone.
 */
export class ClusterStatus {
  readonly #parts: ClusterStatusParts;
  readonly #trackers: Map<TierName, TierStateTracker>;
  readonly #required = new Map<TierName, number>();
  #depths: readonly LaneDepth[] = [];
  #ticks = 0;
  #ticking = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: ClusterStatusParts) {
    this.#parts = parts;
    this.#trackers = new Map(parts.board.tiers.map((tier) => [tier, new TierStateTracker()]));
  }

  async start(): Promise<void> {
    await this.#tick();
    this.#timer = setInterval(() => void this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** While the queue is away: what was last known, and that it is away. */
  async describe(): Promise<SpaceStatus> {
    const { board, lanes, space } = this.#parts;
    const reading = Promise.all([lanes.depths(space, board.tiers), board.refresh()]);
    let queue: Cluster['queue'] = 'ok';
    try {
      [this.#depths] = await withTimeout(reading, DESCRIBE_TIMEOUT_MS, queueSilent);
    } catch {
      queue = 'down';
    }
    const tiers = board.tiers.map((tier) => this.#describe(tier));
    return { queue, tiers, lanes: [...this.#depths], space };
  }

  /** Adds what is known of this space to gauges that were reset. */
  fill(gauges: TierGauges): void {
    const { board, labels: ofSpace, space, workers } = this.#parts;
    for (const { tier, state } of workers.living().filter((beat) => beat.space === space))
      gauges.workers.inc({ tier, state, ...ofSpace });
    for (const { tier, lane, tokens } of this.#depths)
      gauges.queueTokens.set({ tier, lane, ...ofSpace }, tokens);
    for (const tier of board.tiers) {
      const labels = { tier, ...ofSpace };
      const view = board.view(tier);
      const { breaker } = board.load(tier);
      const backlogMs = waitMs(view);
      const required = this.#required.get(tier);
      // Not known yet is not zero: an autoscaler would take it at its word.
      if (required !== undefined) gauges.requiredWorkers.set(labels, required);
      if (backlogMs !== null) gauges.backlogSeconds.set(labels, backlogMs / 1_000);
      gauges.breakerState.set(labels, BREAKER_LEVELS[stateOf(breaker)]);
      const beats = board.beatsOf(tier);
      const alignment = worstAlignment(beats);
      if (alignment !== null) gauges.alignmentCosine.set(labels, alignment);
      const batchTokens = beats.map((beat) => beat.batchTokens).filter((tokens) => tokens > 0);
      if (batchTokens.length > 0) gauges.batchTokens.set(labels, sum(batchTokens) / batchTokens.length);
    }
  }

  #describe(name: TierName): Cluster['tiers'][number] {
    const { board } = this.#parts;
    const view = board.view(name);
    const { breaker, reservedTokens } = board.load(name);
    const beats = board.beatsOf(name);
    return {
      name,
      state: this.#update(name),
      breaker: stateOf(breaker),
      workers: view.workers.length,
      requiredWorkers: this.#required.get(name) ?? 0,
      backlogTokens: reservedTokens,
      tokensPerSecond: view.workers.length > 0 ? Math.round(tokensPerMs(view) * 1_000) : 0,
      predictedMs: predictArrivalMs(view, USUAL_TOKENS),
      alignment: worstAlignment(beats),
      devices: [...new Set(beats.map(({ device }) => device))],
      deviceReasons: [...new Set(beats.flatMap(({ deviceReason }) => deviceReason || []))],
    };
  }

  /** Half the usual deadline is what decisions measure a tier by, too. */
  #update(tier: TierName): TierState {
    const { board, queryDeadlineMs, log } = this.#parts;
    const tracker = this.#trackers.get(tier) as TierStateTracker;
    const before = tracker.state;
    const view = board.view(tier);
    const objectiveMs = queryDeadlineMs / 2;
    const state = tracker.update(view, { tokens: USUAL_TOKENS, objectiveMs }, performance.now());
    if (state === before) return state;
    const { workers, starting, lost, aheadTokens } = view;
    const predictedMs = predictArrivalMs(view, USUAL_TOKENS);
    const figures = { predictedMs, objectiveMs, workers: workers.length, starting, lost, aheadTokens };
    log.warn({ tier, from: before, to: state, ...figures }, 'tier changed');
    return state;
  }

  async #tick(): Promise<void> {
    if (this.#ticking) return;
    this.#ticking = true;
    const { board, demand, lanes, space, log } = this.#parts;
    try {
      await demand.flush();
      await board.refresh();
      const depths = await lanes.depths(space, board.tiers);
      this.#depths = depths;
      for (const tier of board.tiers) {
        this.#update(tier);
        this.#required.set(tier, await this.#requiredWorkers(tier, depths));
      }
      if (this.#ticks++ % TICKS_PER_SWEEP === 0) await this.#sweep(depths);
    } catch (error) {
      log.debug({ err: error }, 'the cluster could not be looked at');
    } finally {
      this.#ticking = false;
    }
  }

  async #requiredWorkers(tier: TierName, depths: readonly LaneDepth[]): Promise<number> {
    const { board, demand } = this.#parts;
    const waitsInLane = depths.some(
      (depth) => depth.tier === tier && depth.lane === 'bulk' && depth.waiting + depth.active > 0,
    );
    const fits = board.view(tier).workers.map(({ fit }) => fit);
    // The slowest of those that are there: an average would be short of workers.
    const slowest = fits.toSorted((x, y) => y.b - x.b)[0] ?? (await demand.lastKnownFit(tier));
    const bulkWaits = waitsInLane || (await demand.isBulkWanted(tier));
    return requiredWorkers({ ...(await demand.read(tier)), bulkWaits }, slowest);
  }

  /** Nobody takes what waits for a tier without workers: what is past its deadline goes. */
  async #sweep(depths: readonly LaneDepth[]): Promise<void> {
    const { board, lanes, space, log } = this.#parts;
    for (const tier of board.tiers) {
      if (board.beatsOf(tier).length > 0) continue;
      for (const lane of LANES) {
        const isEmpty = depths.every(
          (depth) => depth.tier !== tier || depth.lane !== lane || depth.waiting + depth.active === 0,
        );
        const removed = isEmpty ? 0 : await lanes.sweep(space, tier, lane);
        if (removed > 0) log.info({ tier, lane, removed }, 'swept jobs that nobody takes');
      }
    }
  }
}

/** The lowest cosine of its workers; null where none has been measured. */
function worstAlignment(beats: readonly Heartbeat[]): number | null {
  const cosines = beats.flatMap(({ alignment }) => alignment?.cosine ?? []);
  return cosines.length > 0 ? Math.min(...cosines) : null;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
