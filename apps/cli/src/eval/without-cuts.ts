import type { Cut } from './documented-function.ts';

export interface Shortened {
  text: string;
  /** The 1-based line on which an offset of the source lies in `text`. */
  lineAt: (offset: number) => number;
}

/**
 * A source without some of its parts. Where nothing else stands on a part's lines, they go with it.
 * @param cuts in any order, apart from each other.
 */
export function withoutCuts(source: string, cuts: readonly Cut[]): Shortened {
  const ordered = cuts.map((cut) => wholeLines(source, cut)).sort((one, other) => one.start - other.start);
  let text = '';
  let done = 0;
  for (const { start, end, replacement } of ordered) {
    text += source.slice(done, start) + replacement;
    done = end;
  }
  text += source.slice(done);
  const lineAt = (offset: number): number => {
    let moved = offset;
    for (const { start, end, replacement } of ordered)
      if (end <= offset) moved += replacement.length - (end - start);
    let line = 1;
    for (let at = text.indexOf('\n'); at >= 0 && at < moved; at = text.indexOf('\n', at + 1)) line += 1;
    return line;
  };
  return { text, lineAt };
}

function wholeLines(source: string, cut: Cut): Cut {
  if (cut.replacement !== '') return cut;
  let { start, end } = cut;
  while (start > 0 && isSpace(source[start - 1])) start -= 1;
  while (end < source.length && isSpace(source[end])) end += 1;
  const opensLine = start === 0 || source[start - 1] === '\n';
  if (!opensLine) return cut;
  if (end === source.length) return { ...cut, start, end };
  return source[end] === '\n' ? { ...cut, start, end: end + 1 } : cut;
}

const isSpace = (character: string | undefined): boolean =>
  character === ' ' || character === '\t' || character === '\r';
