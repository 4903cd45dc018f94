import type { Span } from './pack.ts';
import type { SourceLines } from './source-lines.ts';
import { lineWindows } from './windows.ts';
import type { Rows } from './windows.ts';

interface Heading extends Rows {
  level: number;
  title: string;
}

interface Section extends Rows {
  symbol: string;
  /** The heading has no text of its own below it. */
  bare: boolean;
}

const MAX_TITLE_CHARS = 80;

/** Cuts Markdown at its headings; `symbol` is the heading's path (`Install > Docker`). Long sections become windows. */
export function markdownSpans(source: SourceLines, maxChars: number): Span[] {
  return joinBare(sectionsOf(source), source, maxChars).flatMap((section) => {
    const naming = { symbol: section.symbol, kind: section.symbol ? 'section' : null, signature: '' };
    const windows = lineWindows(source, { ...section, maxChars, overlapRows: 2 });
    return windows.map((rows) => ({ ...rows, ...naming }));
  });
}

function sectionsOf(source: SourceLines): Section[] {
  const headings = headingsOf(source);
  const sections: Section[] = [];
  const add = (rows: Rows, symbol: string, ownRows: number): void => {
    const trimmed = source.trim(rows.first, rows.last);
    if (trimmed) sections.push({ ...trimmed, symbol, bare: trimmed.last - rows.first + 1 <= ownRows });
  };
  add({ first: 0, last: (headings[0]?.first ?? source.count) - 1 }, '', 0);
  const path: Heading[] = [];
  headings.forEach((heading, index) => {
    while ((path.at(-1)?.level ?? 0) >= heading.level) path.pop();
    path.push(heading);
    const last = (headings[index + 1]?.first ?? source.count) - 1;
    const symbol = path.map((one) => one.title).join(' > ');
    add({ first: heading.first, last }, symbol, heading.last - heading.first + 1);
  });
  return sections;
}

/** A heading directly above another one goes with it, when both fit. */
function joinBare(sections: Section[], source: SourceLines, maxChars: number): Section[] {
  const joined: Section[] = [];
  for (const section of sections) {
    const above = joined.at(-1);
    if (above?.bare && source.size(above.first, section.last) <= maxChars) {
      joined[joined.length - 1] = { ...section, first: above.first };
    } else {
      joined.push(section);
    }
  }
  return joined;
}

/** ATX and setext headings outside of code fences and front matter. */
function headingsOf(source: SourceLines): Heading[] {
  const headings: Heading[] = [];
  let fence = '';
  for (let row = frontMatterRows(source); row < source.count; row += 1) {
    const line = source.slice(row, row);
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence) {
      if (mark?.startsWith(fence) && line.trim() === mark) fence = '';
      continue;
    }
    if (mark) {
      fence = mark;
      continue;
    }
    const atx = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$/.exec(line);
    if (atx) {
      headings.push({ first: row, last: row, level: (atx[1] ?? '#').length, title: titleOf(atx[2] ?? '') });
      continue;
    }
    const setext = setextTitle(source, row);
    if (setext) {
      const level = line.trim().startsWith('=') ? 1 : 2;
      headings.push({ first: row - 1, last: row, level, title: titleOf(setext) });
    }
  }
  return headings;
}

/** The title above an underline of `=` or `-`, or null. */
function setextTitle(source: SourceLines, row: number): string | null {
  if (row === 0 || !/^ {0,3}(=+|-{2,})[ \t]*$/.test(source.slice(row, row))) return null;
  const title = source.slice(row - 1, row - 1);
  // A paragraph of several rows is more often a table or a rule below text than a title.
  if (row > 1 && !source.isBlank(row - 2)) return null;
  return /^ {0,3}[^\s>#|*+`~-]/.test(title) ? title.trim() : null;
}

/** Rows of a `---` block at the top. */
function frontMatterRows(source: SourceLines): number {
  if (source.slice(0, 0).trim() !== '---') return 0;
  for (let row = 1; row < source.count; row += 1) {
    if (/^(---|\.\.\.)\s*$/.test(source.slice(row, row))) return row + 1;
  }
  return 0;
}

/** A heading without links, emphasis and code marks. */
const titleOf = (markdown: string): string =>
  markdown
    .slice(0, 400)
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/[*`]|<[^>]*>/g, '')
    .trim()
    .slice(0, MAX_TITLE_CHARS);
