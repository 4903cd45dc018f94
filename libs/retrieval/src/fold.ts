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
 * other repos. Lines compare without their indentation, and neither blank lines nor repeated ones count, so a text that was only moved
 * into a block is the same.
 *
 * Two sets of lines can only be that similar when they share one of their first few lines in an order that holds for all of them, here
 * the longest first: so only chunks that share one of those are compared (prefix filtering; Chaudhuri, Ganti, Kaushik,
 * "A Primitive Operator for Similarity Joins in Data Cleaning", ICDE 2006).
 * @param ranked best first; the order stays.
 */
export function fold(ranked: readonly ScoredChunk[]): Candidate[] {
  const kept: Candidate[] = [];
  const byText = new Map<string, Candidate>();
  const byFirstLine = new Map<string, Folded[]>();
  for (const chunk of ranked) {
    const same = byText.get(chunk.text);
    if (same) {
      same.duplicates.push(placeOf(chunk));
      continue;
    }
    const lines = linesOf(chunk.text);
    const firstLines = firstOf(lines);
    const near = nearest(lines, firstLines, byFirstLine);
    const candidate = near ?? { ...chunk, duplicates: [] };
    byText.set(chunk.text, candidate);
    if (near) {
      near.duplicates.push(placeOf(chunk));
      continue;
    }
    kept.push(candidate);
    const folded = { candidate, lines };
    for (const line of firstLines) {
      const known = byFirstLine.get(line);
      if (known) known.push(folded);
      else byFirstLine.set(line, [folded]);
    }
  }
  return kept;
}

interface Folded {
  candidate: Candidate;
  lines: ReadonlySet<string>;
}

/** The best chunk so far that is as good as the same text. */
function nearest(
  lines: ReadonlySet<string>,
  firstLines: readonly string[],
  byFirstLine: ReadonlyMap<string, Folded[]>,
): Candidate | undefined {
  for (const line of firstLines)
    for (const folded of byFirstLine.get(line) ?? [])
      if (similarity(lines, folded.lines) >= SAME_SHARE) return folded.candidate;
  return undefined;
}

/** Jaccard index of two sets of lines, or 0 where their sizes alone keep it below {@link SAME_SHARE}. */
function similarity(one: ReadonlySet<string>, other: ReadonlySet<string>): number {
  const [small, large] = one.size < other.size ? [one, other] : [other, one];
  if (small.size < SAME_SHARE * large.size) return 0;
  let shared = 0;
  for (const line of small) if (large.has(line)) shared += 1;
  return shared / (one.size + other.size - shared);
}

/** The longest lines, as many as could all be among the lines that a similar text does not have, and one more. */
function firstOf(lines: ReadonlySet<string>): string[] {
  const count = lines.size - Math.ceil(SAME_SHARE * lines.size) + 1;
  const first: string[] = [];
  for (const line of lines) {
    if (first.length === count && comesBefore(first[count - 1] ?? '', line)) continue;
    let place = first.length;
    while (place > 0 && comesBefore(line, first[place - 1] ?? '')) place -= 1;
    first.splice(place, 0, line);
    if (first.length > count) first.pop();
  }
  return first;
}

const comesBefore = (line: string, other: string): boolean =>
  line.length > other.length || (line.length === other.length && line < other);

function linesOf(text: string): Set<string> {
  const lines = new Set<string>();
  for (const line of text.split('\n')) {
    const trimmed = line.trim();
    if (trimmed !== '') lines.add(trimmed);
  }
  return lines;
}

const placeOf = ({ repo, path, startLine, endLine }: ScoredChunk): ChunkPlace => ({
  repo,
  path,
  startLine,
  endLine,
});
