import type { Arrange, SearchResult } from '@embergate/contracts/http-search.ts';
import type { ScoredChunk } from '@embergate/vector-store/store.ts';
import { diversify } from './diversify.ts';
import { fold, type Candidate } from './fold.ts';
import { mergeNeighbours } from './merge-neighbours.ts';

export interface ArrangeOptions extends Arrange {
  limit: number;
}

/**
 * Makes a list for readers out of candidates, which are best first: the same text once, no file crowding out the others, readable ranges,
 * then the first `limit`.
 */
export function arrange(
  candidates: readonly ScoredChunk[],
  { limit, ...steps }: ArrangeOptions,
): SearchResult[] {
  const folded = steps.fold ? fold(candidates) : candidates.map(alone);
  const ordered = steps.diversify ? diversify(folded) : folded;
  return steps.merge ? mergeNeighbours(ordered, limit) : ordered.slice(0, limit);
}

const alone = (chunk: ScoredChunk): Candidate => ({ ...chunk, duplicates: [] });
