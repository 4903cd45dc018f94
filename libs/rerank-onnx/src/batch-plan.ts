import { predictMs, type Fit } from '@embergate/routing/fit.ts';

/** Pairs that are computed at a time: enough for the cores, and little is lost where the time ends within one. */
const BATCH_PAIRS = 8;
/** Code takes 3.3 characters a token; what a text really takes is learnt with the time that it takes. */
const CHARACTERS_PER_TOKEN = 3.3;
/** Around a pair. */
const SPECIAL_TOKENS = 3;

export interface Batch {
  passages: string[];
  /** Padded tokens, estimated. */
  tokens: number;
}

/** Passages in batches, in their order: what is done when the time ends is the beginning of the list. */
export function inBatches(query: string, passages: readonly string[], maxTokens: number): Batch[] {
  const batches: Batch[] = [];
  for (let from = 0; from < passages.length; from += BATCH_PAIRS) {
    const some = passages.slice(from, from + BATCH_PAIRS);
    const longest = Math.max(...some.map(({ length }) => length));
    const estimated = Math.ceil((query.length + longest) / CHARACTERS_PER_TOKEN) + SPECIAL_TOKENS;
    batches.push({ passages: some, tokens: some.length * Math.min(maxTokens, estimated) });
  }
  return batches;
}

/** The first batches that take at most so long together. */
export function batchesWithin(
  batches: readonly Batch[],
  ms: number,
  fit: Fit,
): { fitting: Batch[]; ms: number } {
  const fitting: Batch[] = [];
  let sum = 0;
  for (const batch of batches) {
    const next = sum + predictMs(fit, batch.tokens);
    if (next > ms) break;
    sum = next;
    fitting.push(batch);
  }
  return { fitting, ms: sum };
}
