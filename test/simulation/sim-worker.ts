import type { Lane } from '@embergate/contracts/tiers.ts';
import { paddedTokens } from '@embergate/embedding/padded-tokens.ts';
import { LiveFit, predictMs, tokensWithin, type Fit } from '@embergate/routing/fit.ts';
import { QUERY_BATCH_MS, QUERY_BATCH_TOKENS } from '@embergate/routing/tier-view.ts';
import type { Random } from './random.ts';
import type { SimJob, SimTier } from './sim-tier.ts';
import type { VirtualTime } from './virtual-time.ts';

/** As the product's batcher and worker have them. */
const BULK_BATCH_MS = 250;
const BULK_BATCH_TOKENS = 1_024;
const BULK_FLOOR = 0.05;
const HEARTBEAT_MS = 1_000;
const PROBE_TOKENS = 16;
const PROBE_ABOVE_LEVEL = 1.25;
const STALLED_FACTOR = 3;
const STALLED_MS = 500;
/** How long a request takes that a sick worker refuses at once. */
const ERROR_MS = 5;

/** What a worker has told everybody: its last heartbeat, and the batch that it computes. */
export interface WorkerNote {
  state: 'starting' | 'ready' | 'stalled';
  fit: Fit;
  beatAt: number;
  /** When its running batch is predicted to end; 0 when it runs none. */
  batchEndsAt: number;
}

interface RunningBatch {
  lane: Lane | 'probe';
  jobs: SimJob[];
  paddedTokens: number;
  startedAt: number;
  predictedMs: number;
  durationMs: number;
  cancel: () => void;
}

export interface SimWorkerOptions {
  tier: SimTier;
  time: VirtualTime;
  random: Random;
  /** How long batches really take; the warm-up measured it to a few per cent. */
  truth: Fit;
  /** Deviation of the logarithm of a batch's duration. */
  noise: number;
}

/**
 *   gone --start--> starting --loaded--> ready --kill--> gone
 *                      ^                   |
 *                      +------- start -----+   frozen, slower and failing beside that
 */
export class SimWorker {
  readonly #options: SimWorkerOptions;
  #state: 'gone' | 'starting' | 'ready' = 'gone';
  #live: LiveFit;
  #running: RunningBatch | null = null;
  #frozenAt: number | null = null;
  #queryMsSinceBulk = 0;
  #life = 0;
  /** Batches take this many times as long. */
  slower = 1;
  /** Queries are refused at once with an error. */
  isFailing = false;
  /** What everybody can read of it; null when nobody ever heard of it. */
  note: WorkerNote | null = null;
  /** Computing time spent, in milliseconds, by lane. */
  readonly spentMs = { query: 0, bulk: 0, probe: 0 };

  constructor(options: SimWorkerOptions) {
    this.#options = options;
    this.#live = this.#warmedUp();
  }

  get isGone(): boolean {
    return this.#state === 'gone';
  }

  start(loadMs: number): void {
    const { time, random } = this.#options;
    const life = ++this.#life;
    this.#state = 'starting';
    this.#live = this.#warmedUp();
    this.#frozenAt = null;
    this.#queryMsSinceBulk = 0;
    this.#beat();
    const beats = (): void => {
      if (this.#life !== life) return;
      this.#beat();
      time.after(HEARTBEAT_MS, beats);
    };
    time.after(random.uniform() * HEARTBEAT_MS, beats);
    time.after(loadMs, () => {
      if (this.#life !== life) return;
      this.#state = 'ready';
      this.#beat();
      this.wake();
    });
  }

  /** SIGKILL: its batch is lost and it says nothing more. What was heard of it stays. */
  kill(): void {
    this.#life += 1;
    this.#state = 'gone';
    this.#running?.cancel();
    this.#running = null;
  }

  /** Takes its leave: it is forgotten at once, and its queries go back to the lane. */
  retire(): void {
    const jobs = this.#running?.jobs ?? [];
    this.kill();
    this.note = null;
    this.#options.tier.giveBack(jobs);
  }

  freeze(): void {
    this.#frozenAt = this.#options.time.now;
    this.#running?.cancel();
  }

  thaw(): void {
    if (this.#frozenAt === null) return;
    const frozenMs = this.#options.time.now - this.#frozenAt;
    this.#frozenAt = null;
    if (this.#running) {
      const doneMs = this.#options.time.now - frozenMs - this.#running.startedAt;
      this.#endIn(this.#running, this.#running.durationMs - doneMs);
    }
    this.#beat();
    this.wake();
  }

  /** Takes the next batch, where it is free and there is one. */
  wake(): void {
    if (this.#state !== 'ready' || this.#running || this.#frozenAt !== null) return;
    const { tier } = this.#options;
    const fit = this.#live.current;
    if (this.#nextLane() === 'query') {
      const mostTokens = Math.min(tokensWithin(fit, QUERY_BATCH_MS), QUERY_BATCH_TOKENS);
      const jobs = tier.takeQueries(mostTokens, fit);
      if (jobs.length > 0) return this.#run('query', jobs, paddedTokens(jobs));
    }
    if (tier.bulkWaits) this.#run('bulk', [], this.#bulkTokens());
  }

  #nextLane(): Lane {
    const { tier } = this.#options;
    if (!tier.bulkWaits) return 'query';
    const bulkMs = predictMs(this.#live.current, this.#bulkTokens());
    return this.#queryMsSinceBulk * BULK_FLOOR >= bulkMs * (1 - BULK_FLOOR) ? 'bulk' : 'query';
  }

  #bulkTokens(): number {
    return Math.max(1, Math.min(tokensWithin(this.#live.current, BULK_BATCH_MS), BULK_BATCH_TOKENS));
  }

  #run(lane: RunningBatch['lane'], jobs: SimJob[], tokens: number): void {
    const { time, random, truth, noise } = this.#options;
    const fails = this.isFailing && lane === 'query';
    const predictedMs = predictMs(this.#live.current, tokens);
    const durationMs = fails ? ERROR_MS : predictMs(truth, tokens) * this.slower * random.logNormal(1, noise);
    const batch: RunningBatch = {
      lane,
      jobs,
      paddedTokens: tokens,
      startedAt: time.now,
      predictedMs,
      durationMs,
      cancel: () => undefined,
    };
    this.#running = batch;
    if (this.note) this.note = { ...this.note, batchEndsAt: time.now + predictedMs };
    this.#endIn(batch, durationMs);
  }

  #endIn(batch: RunningBatch, ms: number): void {
    batch.cancel = this.#options.time.after(ms, () => this.#end(batch));
  }

  #end(batch: RunningBatch): void {
    const { lane, jobs, startedAt } = batch;
    const ms = this.#options.time.now - startedAt;
    this.#running = null;
    this.spentMs[lane] += ms;
    if (lane === 'bulk') this.#queryMsSinceBulk = 0;
    else if (this.#options.tier.bulkWaits) this.#queryMsSinceBulk += ms;
    if (this.note) this.note = { ...this.note, batchEndsAt: 0 };
    const failed = this.isFailing && lane === 'query';
    if (!failed) this.#live.observe({ paddedTokens: batch.paddedTokens, ms });
    for (const job of jobs) {
      if (failed) job.onError();
      else job.onAnswer();
    }
    this.wake();
  }

  #beat(): void {
    const { time } = this.#options;
    if (this.#state === 'gone' || this.#frozenAt !== null) return;
    this.note = {
      state: this.#state === 'ready' && this.#isStalled() ? 'stalled' : this.#state,
      fit: this.#live.current,
      beatAt: time.now,
      batchEndsAt: this.note?.batchEndsAt ?? 0,
    };
    // One that was measured slow gets no queries: it finds out by itself that it is fast again.
    if (this.#state === 'ready' && !this.#running && this.#live.level > PROBE_ABOVE_LEVEL)
      this.#run('probe', [], PROBE_TOKENS);
  }

  #isStalled(): boolean {
    if (!this.#running) return false;
    const { startedAt, predictedMs } = this.#running;
    return this.#options.time.now - startedAt > STALLED_FACTOR * predictedMs + STALLED_MS;
  }

  #warmedUp(): LiveFit {
    const { truth, random } = this.#options;
    const off = random.logNormal(1, 0.03);
    return new LiveFit({ a: truth.a * off, b: truth.b * off });
  }
}
