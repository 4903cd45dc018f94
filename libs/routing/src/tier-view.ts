import type { TierName } from '@embergate/contracts/tiers.ts';
import type { Fit } from './fit.ts';

/** A worker that is ready to take queries of the space. */
export interface WorkerCapacity {
  fit: Fit;
  /** What is left of the batch that it computes now, in milliseconds; 0 when it is idle. */
  busyMs: number;
}

/** What a gateway knows of one tier when it decides. */
export interface TierView {
  name: TierName;
  workers: readonly WorkerCapacity[];
  /** Workers that load their model. */
  starting: number;
  /** Workers that were heard of in the last minute and are silent, hang, or lost their model. */
  lost: number;
  /** Workers whose vectors are not those of the collections: they take no work. */
  misaligned: number;
  /** Tokens of queries that were admitted and are in no batch yet. */
  aheadTokens: number;
  /** Share of queries that the breaker lets through: 0 open, 1 closed, between while a tier returns. */
  share: number;
}

/** A fit without a slope (too few samples) would be infinitely fast. */
const MIN_B = 1e-6;
const MIN_MS = 1e-3;
/** What workers put into one batch of queries at most: predicted milliseconds, and padded tokens. */
export const QUERY_BATCH_MS = 250;
export const QUERY_BATCH_TOKENS = 4_096;
/** Computed tokens a token of a batch of like lengths: others are padded to the longest (docs/routing-simulation.md). */
const PADDING = 1.25;
const MOST_AHEAD_TOKENS = 1e9;

/** Tokens a millisecond that the tier's workers compute together, as fitted: an idle tier is not a slow one. */
export const tokensPerMs = ({ workers }: TierView): number =>
  workers.reduce((sum, { fit }) => sum + 1 / Math.max(fit.b, MIN_B), 0);

/** How one worker batches: what goes into a batch beside `tokens` of mine, and how fast full batches drain a backlog. */
interface Batching {
  busyMs: number;
  roomTokens: number;
  batchMs: (otherTokens: number) => number;
  fullTokensPerMs: number;
}

/**
 * When an answer for `tokens` would be here, in milliseconds:
 *
 *   until those before my batch are drained, in full batches by all workers
 *   + a + b * (mine + PADDING * others in my batch)
 *
 * A batch answers when all of it is computed. What is ahead of me and fits my batch is in it, the rest is before it. Those
 * who come behind me join only where their length is like mine, and then as many of those ahead have let me pass: they
 * even out. With nothing ahead it is what is left of the batch that ends first, and a + b * mine.
 * @returns null where no worker is ready.
 */
export function predictArrivalMs(view: TierView, tokens: number): number | null {
  const workers = view.workers
    .map((worker) => batchingOf(worker, tokens))
    .sort((x, y) => x.busyMs - y.busyMs);
  const [next] = workers;
  if (!next) return null;
  const inMyBatch = Math.min(view.aheadTokens, next.roomTokens);
  return drainedMs(workers, view.aheadTokens - inMyBatch) + next.batchMs(inMyBatch);
}

/** How long until a query that arrives now is begun, in milliseconds; null where no worker is ready. */
export function waitMs({ workers, aheadTokens }: TierView): number | null {
  const byBusy = workers.map((worker) => batchingOf(worker, 0)).sort((x, y) => x.busyMs - y.busyMs);
  return byBusy.length > 0 ? drainedMs(byBusy, aheadTokens) : null;
}

/** How many tokens may be ahead of `tokens` so that they still arrive within `ms`, in whole tokens; -1 when none may. */
export function aheadWithin(view: TierView, tokens: number, ms: number): number {
  const isInTime = (aheadTokens: number): boolean =>
    (predictArrivalMs({ ...view, aheadTokens }, tokens) ?? Infinity) <= ms;
  if (!isInTime(0)) return -1;
  let most = 0;
  let tooMany = 1;
  while (isInTime(tooMany)) {
    if (tooMany >= MOST_AHEAD_TOKENS) return MOST_AHEAD_TOKENS;
    most = tooMany;
    tooMany *= 2;
  }
  while (tooMany - most > 1) {
    const middle = Math.floor((most + tooMany) / 2);
    if (isInTime(middle)) most = middle;
    else tooMany = middle;
  }
  return most;
}

function batchingOf({ fit: { a, b }, busyMs }: WorkerCapacity, tokens: number): Batching {
  const batchMs = (otherTokens: number): number => a + b * (tokens + PADDING * otherTokens);
  const inTime = b > 0 ? (QUERY_BATCH_MS - a - b * tokens) / (b * PADDING) : Infinity;
  const inMemory = QUERY_BATCH_TOKENS / PADDING - tokens;
  const roomTokens = Math.max(0, Math.min(inTime, inMemory));
  const fullTokens = Math.max(1, tokens + roomTokens);
  return { busyMs, roomTokens, batchMs, fullTokensPerMs: fullTokens / Math.max(batchMs(roomTokens), MIN_MS) };
}

/** When the workers, each from when it is free, have drained so many tokens together; with none, when the first is free. */
function drainedMs(byBusy: readonly Batching[], tokens: number): number {
  let rate = 0;
  let missed = 0;
  let ms = 0;
  for (const { busyMs, fullTokensPerMs } of byBusy) {
    if (rate > 0 && ms <= busyMs) break;
    rate += fullTokensPerMs;
    missed += busyMs * fullTokensPerMs;
    ms = (tokens + missed) / rate;
  }
  return ms;
}
