import type { Chunk } from './chunk.ts';

const MAX_PATH_CHARS = 80;
const MAX_SYMBOL_CHARS = 120;

/**
 * What the model reads for a chunk: where it is from, then the code.
 *
 * ```
 * lib/http/server.py HttpServer.close
 * def close(self, timeout=None)          <- only in a later part of a long definition
 *         for connection in self.idle: ...
 * ```
 * The head carries what the code alone does not say: file and class names are often the only natural words about a
 * method, and a part of a function does not name it. It stays short, because it takes its tokens from the code's.
 * Long paths keep their end. Line numbers are left out so that code that only moved within its file keeps its vector.
 */
export function embeddedText(chunk: Pick<Chunk, 'symbol' | 'signature' | 'text'> & { path: string }): string {
  const symbol = chunk.symbol.slice(0, MAX_SYMBOL_CHARS);
  const head = symbol ? `${shortPath(chunk.path)} ${symbol}` : shortPath(chunk.path);
  const lines = [head];
  if (chunk.signature && !holdsSignature(chunk.text, chunk.signature)) lines.push(chunk.signature);
  return [...lines, chunk.text].join('\n');
}

/** What {@link embeddedText} would have been of the same chunk at another path. */
export const textAtPath = (text: string, { from, to }: { from: string; to: string }): string =>
  shortPath(to) + text.slice(shortPath(from).length);

/** Compares without white space: a signature is one line, in the code it may stand on several. */
function holdsSignature(text: string, signature: string): boolean {
  const squeezed = (value: string): string => value.replace(/\s+/g, '');
  return squeezed(text).includes(squeezed(signature).slice(0, 60));
}

/** The last folders of a long path, and always the file. */
function shortPath(path: string): string {
  if (path.length <= MAX_PATH_CHARS) return path;
  const cut = path.indexOf('/', path.length - MAX_PATH_CHARS);
  return cut < 0 ? path.slice(-MAX_PATH_CHARS) : path.slice(cut + 1);
}
