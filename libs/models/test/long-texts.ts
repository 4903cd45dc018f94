export type LongText = [what: string, text: string];

/** Texts that no tokenizer may need long for, and what they are. */
export const LONG_TEXTS: readonly LongText[] = [
  ['a million ideographs', '漢'.repeat(1e6)],
  ['a letter under half a million accents', 'e' + '\u0301'.repeat(5e5)],
  ['a million NULs', '\0'.repeat(1e6)],
  ['half a million emoji', '😀'.repeat(5e5)],
  ['a million halves of a character', '\ud83d'.repeat(1e6)],
  ['Windows lines', 'const a = 1;\r\n'.repeat(7e4)],
  ['a million spaces', ' '.repeat(1e6)],
];
