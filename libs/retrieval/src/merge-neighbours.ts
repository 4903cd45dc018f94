import type { Candidate } from './fold.ts';

/** A range that is read in one go. */
const MAX_LINES = 120;
/** Chunks leave the blank lines between definitions out. More than two lines may well be a chunk that was not found. */
const MAX_BLANK_LINES = 2;

/**
 * Joins neighbouring chunks of a file among the first `limit` results: a long function that was cut comes as one result, at the
 * place and with the score and id of its best part. Only what is among the results is joined, so that no weak chunk rides on a
 * strong one.
 * @param ranked best first.
 * @returns at most `limit` ranges, then all other chunks as they were.
 */
export function mergeNeighbours(ranked: readonly Candidate[], limit: number): Candidate[] {
  const ranges: Candidate[] = [];
  const isBlank: IsBlank = (file, first, last) =>
    !ranked.some(
      ({ repo, path, startLine, endLine }) =>
        path === file.path && repo === file.repo && startLine <= last && endLine >= first,
    );
  for (const [index, chunk] of ranked.entries()) {
    if (joinRanges(ranges, chunk, isBlank)) continue;
    // What comes after a chunk that neither joins nor has a place is weaker than what is shown.
    if (ranges.length >= limit) return [...ranges, ...ranked.slice(index)];
    ranges.push(chunk);
  }
  return ranges;
}

/** Whether the lines between two chunks are blank, as far as is known: no other candidate holds them. */
type IsBlank = (file: { repo: string; path: string }, first: number, last: number) => boolean;

/** Puts a chunk into the range it touches, and that range into another one it touches now. */
function joinRanges(ranges: Candidate[], chunk: Candidate, isBlank: IsBlank): boolean {
  let joined = chunk;
  let place = -1;
  for (let index = 0; index < ranges.length; index++) {
    const range = ranges[index];
    const whole = range && joinOf(range, joined, isBlank);
    if (!whole) continue;
    if (place < 0) {
      place = index;
      ranges[place] = whole;
    } else {
      // The chunk was what two ranges lacked between them: the better one's place holds both.
      ranges[place] = whole;
      ranges.splice(index, 1);
      index -= 1;
    }
    joined = whole;
  }
  return place >= 0;
}

function joinOf(one: Candidate, other: Candidate, isBlank: IsBlank): Candidate | null {
  if (one.path !== other.path || one.repo !== other.repo) return null;
  const [above, below] = one.startLine <= other.startLine ? [one, other] : [other, one];
  const startLine = above.startLine;
  const endLine = Math.max(above.endLine, below.endLine);
  if (endLine - startLine >= MAX_LINES) return null;
  const text = joinedText(above, below, isBlank);
  if (text === null) return null;
  const best = one.score >= other.score ? one : other;
  return {
    ...best,
    startLine,
    endLine,
    text,
    symbol: joinedSymbol(above.symbol, below.symbol),
    duplicates: [...one.duplicates, ...other.duplicates],
  };
}

/** Both texts without the lines they share, or null where they do not touch, or differ in a line they both claim. */
function joinedText(above: Candidate, below: Candidate, isBlank: IsBlank): string | null {
  const gap = below.startLine - above.endLine - 1;
  if (gap > MAX_BLANK_LINES) return null;
  const [first, second] = [above.text.split('\n'), below.text.split('\n')];
  if (!isWhole(above, first) || !isWhole(below, second)) return null;
  if (gap > 0 && !isBlank(above, above.endLine + 1, below.startLine - 1)) return null;
  if (gap >= 0) return above.text + '\n'.repeat(gap + 1) + below.text;
  const shared = Math.min(-gap, second.length);
  const from = below.startLine - above.startLine;
  for (let row = 0; row < shared; row++) if (first[from + row] !== second[row]) return null;
  return [...first, ...second.slice(shared)].join('\n');
}

/**
 * Whether a chunk's text is its lines: not so for chunks that somebody else cut. One line may be a piece of a line that is longer
 * than a chunk, and then is not whole either.
 */
const isWhole = ({ startLine, endLine }: Candidate, lines: readonly string[]): boolean =>
  lines.length > 1 && lines.length === endLine - startLine + 1;

const joinedSymbol = (above: string, below: string): string =>
  [...new Set([...above.split(', '), ...below.split(', ')])].filter((symbol) => symbol !== '').join(', ');
