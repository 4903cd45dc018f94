/**
 * What a comment above a function says, as prose: a block of two stars (JSDoc, Javadoc, PHPDoc), lines of three slashes (Rust,
 * C#) or of two (Go). Null where the comment is no description of what is below it.
 * @param comments consecutive comments right above the function, top first.
 */
export function docCommentOf(comments: readonly string[], language: string): string | null {
  const last = comments.at(-1);
  if (last === undefined) return null;
  if (last.startsWith('/**')) return withoutMarkup(withoutTags(blockText(last)));
  const marker = LINE_MARKERS[language];
  if (!marker) return null;
  const lines: string[] = [];
  for (const comment of [...comments].reverse()) {
    const [, text] = marker.exec(comment.trimEnd()) ?? [];
    if (text === undefined) break;
    lines.unshift(text);
  }
  if (lines.length === 0) return null;
  const text = lines.join('\n');
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
