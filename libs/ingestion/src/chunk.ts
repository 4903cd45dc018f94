import { GrammarPool } from './grammar-pool.ts';
import type { Grammar } from './grammars.ts';
import { languageOf } from './language-of.ts';
import type { FileLanguage } from './language-of.ts';
import { markdownSpans } from './markdown-spans.ts';
import type { Span } from './pack.ts';
import { SourceLines } from './source-lines.ts';
import type { SpanCache } from './span-cache.ts';
import { syntaxSpans } from './syntax-chunks.ts';
import { lineWindows, splitLongLine } from './windows.ts';

/** A piece of a file that is embedded and found as one. */
export interface Chunk {
  /** What a search filters by: `typescript`, `python`, `markdown`, `text`, ... */
  language: string;
  /**
   * Qualified name of the definition, such as `HttpServer.close`. A part of a long function keeps the function's name;
   * small definitions in one chunk are joined with `, `; Markdown has its heading path (`Install > Docker`).
   * Empty for loose statements of a file and for windows of lines.
   */
  symbol: string;
  /** class, interface, enum, type, module, function, method, constant, section; null where `symbol` is empty. */
  kind: string | null;
  /** The definition's head on one line, or empty. */
  signature: string;
  /** 1-based. */
  startLine: number;
  /** 1-based, included. */
  endLine: number;
  /** The lines as they are in the file; a piece of one line where the line is longer than a chunk may be. */
  text: string;
}

export interface ChunkerOptions {
  /**
   * UTF-16 code units a chunk may have at most; 1,200 by default. Code takes 3.3 of them a token (word pieces). Of
   * Python's standard library a model that reads 256 tokens misses 10% at 1,200, 5% at 1,000 and 2% at 800; full-text
   * search misses nothing.
   */
  maxChars?: number;
  /** Files of more code units are cut by lines without being parsed. */
  maxParsedChars?: number;
  /** Stays the caller's to close. Without one every file is parsed. */
  cache?: SpanCache;
}

export interface Chunker {
  /**
   * Cuts one file. Every line that is not blank is in at least one chunk, no chunk is longer than `maxChars`, and the
   * same file gives the same chunks on every machine. Parsing is synchronous: some 20 ms for 100 KB of code, where the cache knows nothing.
   */
  chunk(file: { path: string; text: string }): Promise<Chunk[]>;
  close(): void;
}

const DEFAULT_MAX_CHARS = 1_200;
const DEFAULT_MAX_PARSED_CHARS = 512 * 1_024;
const OVERLAP_ROWS = 3;

/** A chunker, with one parser for all of its files. Grammars are loaded as files of their language come. */
export async function createChunker(options: ChunkerOptions = {}): Promise<Chunker> {
  const { maxChars = DEFAULT_MAX_CHARS, maxParsedChars = DEFAULT_MAX_PARSED_CHARS, cache } = options;
  const pool = await GrammarPool.open();

  const parsedSpans = async (grammar: Grammar, source: SourceLines): Promise<Span[] | null> => {
    const key = cache?.keyOf(source.text, [pool.version, grammar.wasm, maxChars]);
    const known = key === undefined ? null : cache?.get(key);
    if (known) return known;
    const use = { grammar, maxChars };
    const spans = await pool.withTree(grammar.wasm, source.text, (tree) =>
      syntaxSpans(tree.rootNode, source, use),
    );
    // What took too long may not do so the next time.
    if (spans && key !== undefined) cache?.put(key, spans);
    return spans;
  };

  const spansOf = async ({ language, grammar }: FileLanguage, source: SourceLines): Promise<Span[]> => {
    if (language === 'markdown') return markdownSpans(source, maxChars);
    if (grammar && source.text.length <= maxParsedChars) {
      const spans = await parsedSpans(grammar, source);
      if (spans) return spans;
    }
    return plainSpans(source, maxChars);
  };

  return {
    async chunk({ path, text }) {
      const language = languageOf(path, text);
      const source = new SourceLines(text);
      const spans = await spansOf(language, source);
      return spans.flatMap((span) => chunksOf(span, { language: language.language, source, maxChars }));
    },
    close: () => pool.close(),
  };
}

function plainSpans(source: SourceLines, maxChars: number): Span[] {
  const rows = { first: 0, last: source.count - 1, maxChars, overlapRows: OVERLAP_ROWS };
  return lineWindows(source, rows).map((window) => ({ ...window, symbol: '', kind: null, signature: '' }));
}

interface FileToCut {
  language: string;
  source: SourceLines;
  maxChars: number;
}

function chunksOf(span: Span, { language, source, maxChars }: FileToCut): Chunk[] {
  const { symbol, kind, signature } = span;
  const [startLine, endLine] = [span.first + 1, span.last + 1];
  const text = source.slice(span.first, span.last);
  const texts = text.length <= maxChars ? [text] : splitLongLine(text, maxChars);
  return texts.map((piece) => ({ language, symbol, kind, signature, startLine, endLine, text: piece }));
}
