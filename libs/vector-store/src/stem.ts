/**
 * A light stemmer: plurals, `-ed`, `-ing` and the final `-e`, so that "parsing headers" meets `parseHeader`.
 *
 * These are steps 1a, 1b and 5a of M. F. Porter, "An algorithm for suffix stripping" (1980). Departures, all for words that
 * code is full of: `-ied` becomes `-y` (retried), `-us`, `-is` and the `-as` of four words are no plurals (status, axis,
 * alias), step 1b repeats (embedding, embed), the final `-e` also goes where the paper's measure is 0 (queue), and
 * stems shorter than three letters are left alone (using, add).
 */

const MAX_LENGTH = 24;
const NO_PLURAL = new Set(['alias', 'atlas', 'bias', 'canvas']);

/** Stem of a lower-case ASCII word; words that are too short, too long or not of letters only come back as they are. */
export function stem(word: string): string {
  if (word.length < 4 || word.length > MAX_LENGTH || !/^[a-z]+$/.test(word)) return word;
  let stemmed = withoutPlural(word);
  for (let before = ''; before !== stemmed && stemmed.length > 3;) {
    before = stemmed;
    stemmed = withoutEdOrIng(stemmed);
  }
  return withoutFinalE(stemmed);
}

function withoutPlural(word: string): string {
  if (!word.endsWith('s') || NO_PLURAL.has(word)) return word;
  if (word.endsWith('sses')) return word.slice(0, -2);
  if (word.endsWith('ies') && word.length > 4) return `${word.slice(0, -3)}y`;
  return /[sui]s$/.test(word) ? word : word.slice(0, -1);
}

function withoutEdOrIng(word: string): string {
  if (word.endsWith('ied') && word.length > 4) return `${word.slice(0, -3)}y`;
  if (word.endsWith('eed')) return measure(word.slice(0, -3)) > 0 ? word.slice(0, -1) : word;
  const suffix = word.endsWith('ed') ? 2 : word.endsWith('ing') ? 3 : 0;
  const base = word.slice(0, word.length - suffix);
  if (suffix === 0 || base.length < 3 || !hasVowel(base)) return word;
  if (/(at|bl|iz)$/.test(base)) return `${base}e`;
  if (base.length > 3 && /([^aeioulsz])\1$/.test(base)) return base.slice(0, -1);
  return measure(base) === 1 && endsShort(base) ? `${base}e` : base;
}

function withoutFinalE(word: string): string {
  if (word.length < 5 || !word.endsWith('e')) return word;
  const base = word.slice(0, -1);
  return measure(base) <= 1 && endsShort(base) ? word : base;
}

function isVowel(word: string, index: number): boolean {
  const letter = word.charAt(index);
  if (letter === 'y') return index > 0 && !isVowel(word, index - 1);
  return 'aeiou'.includes(letter);
}

function hasVowel(word: string): boolean {
  return measure(`${word}b`) > 0;
}

/** How often a vowel is followed by a consonant: Porter's m. */
function measure(word: string): number {
  let count = 0;
  let previous = false;
  for (let index = 0; index < word.length; index++) {
    const letter = word.charCodeAt(index);
    // `y` is a vowel after a consonant; here `previous` says what came before.
    const vowel: boolean = letter === 121 ? index > 0 && !previous : isVowelCode(letter);
    if (previous && !vowel) count++;
    previous = vowel;
  }
  return count;
}

function isVowelCode(letter: number): boolean {
  return letter === 97 || letter === 101 || letter === 105 || letter === 111 || letter === 117;
}

/** Consonant, vowel, consonant other than w, x and y: Porter's *o, the words whose final `-e` matters (stat, state). */
function endsShort(word: string): boolean {
  const last = word.length - 1;
  return (
    last >= 2 &&
    !isVowel(word, last - 2) &&
    isVowel(word, last - 1) &&
    !isVowel(word, last) &&
    !'wxy'.includes(word.charAt(last))
  );
}
