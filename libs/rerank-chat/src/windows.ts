/** As CodeRankLLM is used: see docs/adr/0035-reranking.md. */
export const WINDOW = 10;
const STEP = 5;

/** Positions `from` to `to`, the latter not included. */
export interface Window {
  from: number;
  to: number;
}

/**
 * Windows that slide from the end of a list of `count` to its front, in the order in which they are asked: each hands its best half on to
 * the next one, so the best of the whole list come out in front. Sun et al., "Is ChatGPT Good at Search?", EMNLP 2023, section 4.
 */
export function slidingWindows(count: number): Window[] {
  const windows: Window[] = [];
  for (let to = count; to > 0; to -= STEP) {
    const from = Math.max(0, to - WINDOW);
    windows.push({ from, to });
    if (from === 0) break;
  }
  return windows;
}

/** How many passages from the first one on so many windows take in. */
export const depthOf = (windows: number): number => (windows > 0 ? WINDOW + STEP * (windows - 1) : 0);
