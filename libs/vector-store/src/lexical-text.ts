import { stem } from './stem.ts';

/**
 * Prepares text for full-text search. Chunks and queries go through the same function, so that a store needs nothing
 * but a tokenizer that splits at spaces.
 *
 * An identifier yields its parts (`parseHTTPHeader`, `parse_http_header` and `parse-http-header`: pars http header)
 * and, where it has more than one, the whole without separators (parsehttpheader), so that all spellings of a name
 * meet. Parts are stemmed; stop words, single characters, punctuation and blobs of more than 64 characters go.
 * Chinese and Japanese, which put no spaces, yield pairs of characters.
 */
export function lexicalText(text: string): string {
  const tokens: string[] = [];
  const end = text.length;
  let index = 0;
  while (index < end) {
    const kind = kindOf(text.charCodeAt(index));
    if (kind === OTHER || kind === JOINER) {
      index++;
      continue;
    }
    const start = index;
    if (kind === IDEOGRAPH) {
      while (index < end && kindOf(text.charCodeAt(index)) === IDEOGRAPH) index++;
      addPairs(tokens, text.slice(start, index));
    } else {
      index = identifierEnd(text, index);
      addIdentifier(tokens, text.slice(start, index));
    }
  }
  return tokens.join(' ');
}

/**
 * The `lexicalText` of a chunk: the path, the file's name once more, the symbol twice, then the text. Repetition is
 * the weight, and BM25 saturates it: a name counts more than a mention, but no file wins by its name alone.
 */
export function lexicalDocument(chunk: { path: string; symbol: string; text: string }): string {
  const symbol = lexicalText(chunk.symbol);
  const fileName = chunk.path.slice(chunk.path.lastIndexOf('/') + 1);
  return [lexicalText(chunk.path), lexicalText(fileName), symbol, symbol, lexicalText(chunk.text)]
    .filter((part) => part !== '')
    .join(' ');
}

/** The distinct terms of a lexical query, in order. A query of thousands of words is cut: each term costs a posting list. */
export function queryTerms(lexicalQuery: string): string[] {
  return [...new Set(lexicalQuery.split(/\s+/))].filter((term) => term !== '').slice(0, MAX_QUERY_TERMS);
}

const MAX_QUERY_TERMS = 256;
const MAX_TOKEN_LENGTH = 64;

const OTHER = 0;
const UPPER = 1;
const LOWER = 2;
const DIGIT = 3;
const JOINER = 4;
const IDEOGRAPH = 5;

const STOP_WORDS = new Set(
  (
    'a an and are as at be been but by can could did do does for from had has have how i if in into is it its ' +
    'of on or our should so some such than that the their them then there these they this those to was we were ' +
    'what when where which while who why will with would you your'
  ).split(' '),
);

/** Kind of every UTF-16 unit below U+0100; beyond, {@link kindOfWide} decides. */
const KINDS = Uint8Array.from({ length: 256 }, (_, code) => {
  const character = String.fromCharCode(code);
  if (/[A-ZÀ-ÖØ-Þ]/.test(character)) return UPPER;
  if (/[a-zß-öø-ÿ]/.test(character)) return LOWER;
  if (/[0-9]/.test(character)) return DIGIT;
  return character === '_' || character === '-' ? JOINER : OTHER;
});

function kindOf(code: number): number {
  return code < 256 ? (KINDS[code] ?? OTHER) : kindOfWide(code);
}

function kindOfWide(code: number): number {
  if ((code >= 0x3040 && code <= 0x30ff) || (code >= 0x3400 && code <= 0x9fff)) return IDEOGRAPH;
  // Ogham's space, the byte order mark.
  if (code === 0x1680 || code === 0xfeff) return OTHER;
  // Punctuation and symbols, halves of emoji, private use, full-width punctuation.
  if ((code >= 0x2000 && code <= 0x303f) || (code >= 0xd800 && code <= 0xf8ff) || code >= 0xff00)
    return OTHER;
  const character = String.fromCharCode(code);
  return character !== character.toLowerCase() ? UPPER : LOWER;
}

/** Where the identifier that starts at `index` ends: `-` and `_` belong to it only between two word characters. */
function identifierEnd(text: string, index: number): number {
  let end = index + 1;
  for (let next = end; next < text.length; next++) {
    const kind = kindOf(text.charCodeAt(next));
    if (kind === OTHER || kind === IDEOGRAPH) break;
    if (kind !== JOINER) end = next + 1;
  }
  return end;
}

function addIdentifier(tokens: string[], identifier: string): void {
  const before = tokens.length;
  let whole = '';
  let parts = 0;
  let start = 0;
  while (start < identifier.length) {
    if (kindOf(identifier.charCodeAt(start)) === JOINER) {
      start++;
      continue;
    }
    const end = endOfPart(identifier, start);
    const part = identifier.slice(start, end).toLowerCase();
    parts++;
    if (whole.length <= MAX_TOKEN_LENGTH) whole += part;
    addPart(tokens, part);
    start = end;
  }
  if (parts > 1 && whole.length <= MAX_TOKEN_LENGTH) tokens.push(whole);
  // Hashes and encoded data fall into scores of tiny parts that nobody searches for.
  else if (parts > MAX_PARTS) tokens.length = before;
}

const MAX_PARTS = 24;

/** End of the part that starts at `start`: `parse|HTTP|Header`, `sha|256`. */
function endOfPart(identifier: string, start: number): number {
  const kindAt = (index: number): number =>
    index < identifier.length ? kindOf(identifier.charCodeAt(index)) : OTHER;
  const first = kindAt(start);
  let index = start + 1;
  if (first === UPPER && kindAt(index) === UPPER) {
    while (kindAt(index) === UPPER) index++;
    // The last capital of `HTTPHeader` starts the next word.
    return kindAt(index) === LOWER ? index - 1 : index;
  }
  const rest = first === UPPER ? LOWER : first;
  while (kindAt(index) === rest) index++;
  return index;
}

function addPart(tokens: string[], part: string): void {
  if (part.length < 2 || part.length > MAX_TOKEN_LENGTH) return;
  const term = termOf(part);
  if (term !== '') tokens.push(term);
}

/** Stems seen lately: source code repeats its words, and a look-up costs a tenth of the stemmer. */
const terms = new Map<string, string>();
const MAX_TERMS = 20_000;

/** The stem of a part, or an empty string for a stop word. */
function termOf(part: string): string {
  const known = terms.get(part);
  if (known !== undefined) return known;
  if (terms.size >= MAX_TERMS) terms.clear();
  const term = STOP_WORDS.has(part) ? '' : stem(part);
  terms.set(part, term);
  return term;
}

function addPairs(tokens: string[], run: string): void {
  if (run.length === 1) tokens.push(run);
  for (let index = 0; index + 1 < run.length; index++) tokens.push(run.slice(index, index + 2));
}
