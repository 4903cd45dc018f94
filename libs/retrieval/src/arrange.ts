import type { Arrange, SearchResult } from '@embergate/contracts/http-search.ts';
import type { ScoredChunk } from '@embergate/vector-store/store.ts';
import { diversify } from './diversify.ts';
import { fold, type Candidate } from './fold.ts';
import { mergeNeighbours } from './merge-neighbours.ts';

export interface ArrangeOptions extends Arrange {
  limit: number;
}

/**
 * Makes a list for readers out of candidates, which are best first: the same text once, readable ranges, no file crowding out the others,
 * then the first `limit`.
 */
export function arrange(
  candidates: readonly ScoredChunk[],
  { limit, ...steps }: ArrangeOptions,
): SearchResult[] {
  const folded = steps.fold ? fold(candidates) : candidates.map(alone);
  // Merged before files make way for each other: parts of one thing are no crowd.
  const merged = steps.merge ? mergeNeighbours(folded, limit) : folded;
  const ordered = steps.diversify ? diversify(merged) : merged;
  return ordered.slice(0, limit);
}

const alone = (chunk: ScoredChunk): Candidate => ({ ...chunk, duplicates: [] });
