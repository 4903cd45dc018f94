/** Whether a comment describes what is below it, and is not a note on the code, or one for a compiler or a linter. */
export const isDescription = (comment: string, language: string): boolean =>
  comment.startsWith('/**') || LINE_MARKERS[language]?.test(comment.trimEnd()) === true;

/**
 * What the descriptions above a function say, as prose: a block of two stars (JSDoc, Javadoc, PHPDoc), lines of three slashes
 * (Rust, C#) or of two (Go). Null where there is none.
 * @param comments all those above the function that are descriptions, top first.
 */
export function docCommentOf(comments: readonly string[], language: string): string | null {
  const last = comments.at(-1);
  if (last === undefined) return null;
  if (last.startsWith('/**')) return withoutMarkup(withoutTags(blockText(last)));
  const text = comments
    .map((comment) => LINE_MARKERS[language]?.exec(comment.trimEnd())?.[1] ?? '')
    .join('\n');
  return withoutMarkup(language === 'csharp' ? summaryOf(text) : text);
}

/** How lines that describe a function begin, where the language describes with lines. */
const LINE_MARKERS: Record<string, RegExp> = {
  // `//go:noinline` and the like are for the compiler.
  go: /^\/\/(?!go:|line |export )[ \t]?(.*)$/,
  rust: /^\/\/\/(?!\/)[ \t]?(.*)$/,
  csharp: /^\/\/\/(?!\/)[ \t]?(.*)$/,
};

const blockText = (comment: string): string =>
  comment
    .slice(3, -2)
    .split('\n')
    .map((line) => line.replace(/^\s*\*? ?/, ''))
    .join('\n');

/** The part before the first `@param` and the like; the text of a lone `@description` is the description. */
function withoutTags(text: string): string {
  const description = text.replace(/^\s*@(?:description|desc|summary)\s+/, '');
  const tag = /^\s*@\w/m.exec(description);
  return tag ? description.slice(0, tag.index) : description;
}

function summaryOf(text: string): string {
  const [, summary] = /<summary>([\s\S]*?)<\/summary>/.exec(text) ?? [];
  return (summary ?? text).replace(/<(?:see|paramref|typeparamref)\s+\w+="(?:\w:)?([^"]*)"\s*\/>/g, '$1');
}

/** Links and code as their text; a paragraph's tag as the blank line it stands for. */
const withoutMarkup = (text: string): string =>
  text
    .replace(/\{@\w+\s+([^}]*)\}/g, '$1')
    .replace(/<\/?p\s*\/?>/gi, '\n\n')
    .replace(/<\/?(?:a|b|br|code|em|i|li|ol|pre|strong|tt|ul)(?:\s[^<>]*)?\/?>/gi, '');
