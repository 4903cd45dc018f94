/** Fewer words say too little to search for. */
const MIN_WORDS = 3;
/** What is longer is a paragraph without a full stop: an option list, a table, an example. */
const MAX_WORDS = 50;

const LITERAL = /^([a-zA-Z]*)("""|'''|"|')([\s\S]*)\2$/;

/** The text of a Python string literal, or null where it can't be a docstring (bytes, f-strings). */
export function docstringOf(literal: string): string | null {
  const [, prefix = '', , body] = LITERAL.exec(literal) ?? [];
  if (body === undefined || !/^[ru]?$/i.test(prefix)) return null;
  return prefix.toLowerCase() === 'r' ? body : unescaped(body);
}

function unescaped(body: string): string {
  return body.replace(/\\(\r?\n|[\s\S])/g, (_, escaped: string) => {
    if (escaped.endsWith('\n')) return '';
    if (escaped === 'n' || escaped === 't') return ' ';
    return escaped;
  });
}

/**
 * What a docstring is asked as: its first sentence on one line, without the full stop. A sentence ends at a blank line
 * or at a full stop before a capital. Null for fewer than three words, more than fifty, and for examples (`>>>`).
 */
export function firstSentence(docstring: string): string | null {
  const paragraph = docstring.trim().split(/\n\s*\n/, 1)[0] ?? '';
  if (paragraph.startsWith('>>>')) return null;
  const line = paragraph.replace(/\s+/g, ' ');
  const end = /[.!?](?=\s+[\p{Lu}"'`(]|\s*$)/u.exec(line);
  const sentence = (end ? line.slice(0, end.index) : line).trim();
  const words = sentence.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0;
  return words >= MIN_WORDS && words <= MAX_WORDS ? sentence : null;
}
