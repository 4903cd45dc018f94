import type { ScoredChunk } from '@embergate/vector-store/store.ts';
import type { ChunkPlace } from '@embergate/contracts/http-search.ts';

/** A result under way: a chunk, and where else its text stands. */
export interface Candidate extends ScoredChunk {
  duplicates: ChunkPlace[];
}

/**
 * Two chunks are one text when they share at least this much of their lines (Jaccard). One line of twenty may differ: a
 * year in a licence, a version, a patched line of a vendored copy. Short functions that differ in a line stay two.
 */
const SAME_SHARE = 0.9;

/**
 * Leaves one chunk of those that say the same, the best, and notes where the others are: vendored copies, branches,
 * other repos. Lines compare without their indentation and blank lines do not count, so a text that was only moved
 * into a block is the same.
 *
 * Each chunk is compared only with those that share a line with it (an inverted index of lines), and chunks of more lines than
 * {@link SAME_SHARE} allows to differ are passed over at once.
 * @param ranked best first; the order stays.
 */
export function fold(ranked: readonly ScoredChunk[]): Candidate[] {
  const kept: Folded[] = [];
  const exact = new Map<string, Folded>();
  const holders = new Map<string, Folded[]>();
  for (const chunk of ranked) {
    const lines = linesOf(chunk.text);
    const key = lines.join('\n');
    const same = exact.get(key) ?? nearest(new Set(lines), holders);
    if (same) {
      same.candidate.duplicates.push(placeOf(chunk));
      continue;
    }
    const distinct = new Set(lines);
    const folded = { candidate: { ...chunk, duplicates: [] }, lines: distinct.size };
    kept.push(folded);
    exact.set(key, folded);
    for (const line of distinct) {
      const known = holders.get(line);
      if (known) known.push(folded);
      else holders.set(line, [folded]);
    }
  }
  return kept.map(({ candidate }) => candidate);
}

interface Folded {
  candidate: Candidate;
  /** How many different lines it has. */
  lines: number;
}

/** The chunk that shares most lines with these, where it is as good as the same text. */
function nearest(lines: ReadonlySet<string>, holders: ReadonlyMap<string, Folded[]>): Folded | undefined {
  const shared = new Map<Folded, number>();
  for (const line of lines)
    for (const folded of holders.get(line) ?? []) shared.set(folded, (shared.get(folded) ?? 0) + 1);
  let best: Folded | undefined;
  let bestShare = SAME_SHARE;
  for (const [folded, count] of shared) {
    const share = count / (lines.size + folded.lines - count);
    if (share >= bestShare) [best, bestShare] = [folded, share];
  }
  return best;
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

const placeOf = ({ repo, path, startLine, endLine }: ScoredChunk): ChunkPlace => ({
  repo,
  path,
  startLine,
  endLine,
});
