/** Words of one token each in the vocabulary of BERT models. */
const WORDS = (
  'parse the header of a request and return its name value in lower case open file read line write buffer close socket ' +
  'client server queue job worker batch index search vector model token length count start stop wait time error retry ' +
  'path root key lock thread process memory table field record page test build load store copy move check find list map'
).split(' ');

/** A new text of `words` words, of as many tokens each time: what was asked before would come from the cache. */
export function newText(words = 16): string {
  return Array.from({ length: words }, () => WORDS[Math.floor(Math.random() * WORDS.length)]).join(' ');
}
