import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { lexicalDocument, lexicalText, queryTerms } from '../src/lexical-text.ts';
import { stem } from '../src/stem.ts';

describe('words of a query meet identifiers of code', () => {
  test.each([
    'parseHTTPHeader',
    'parseHttpHeader',
    'ParseHttpHeader',
    'parse_http_header',
    'PARSE_HTTP_HEADER',
    'parse-http-header',
  ])('"parse http header" finds %s', (identifier) => {
    const document = lexicalText(`const x = ${identifier}(request);`).split(' ');
    for (const term of queryTerms(lexicalText('parse http header'))) expect(document).toContain(term);
    // Every spelling of the whole name meets every other.
    expect(document).toContain('parsehttpheader');
  });

  test('a question in English loses its filler words and finds the code by what is left', () => {
    const query = queryTerms(lexicalText('How are the retries of a failed request delayed?'));
    expect(query).toEqual(['retry', 'fail', 'request', 'delay']);
    const document = lexicalText('function retryFailedRequests(delay) {}').split(' ');
    for (const term of query) expect(document).toContain(term);
  });

  test('digits are parts of their own, and the whole name stays', () => {
    expect(lexicalText('sha256')).toBe('sha 256 sha256');
    expect(lexicalText('utf8Decoder')).toBe('utf decoder utf8decoder');
  });

  test('single letters, punctuation, stop words and emoji leave nothing', () => {
    expect(lexicalText('for (i = 0; i < n; i++) { a[i] -= --b; } // 🙂 — …')).toBe('');
  });

  test('every kind of space parts words, and so does a byte order mark in the middle of a file', () => {
    for (const space of ['\u00a0', '\u1680', '\u2003', '\u2028', '\u3000', '\ufeff']) {
      expect(lexicalText(`größe${space}index${space}`)).toBe('größe index');
    }
  });

  test('words with accents and Cyrillic words are kept, Chinese and Japanese can be searched by two characters', () => {
    expect(lexicalText('größeÄndern')).toBe('größe ändern größeändern');
    expect(lexicalText('поискКода')).toBe('поиск кода поисккода');
    expect(lexicalText('解析请求头')).toBe('解析 析请 请求 求头');
    expect(lexicalText('parse解析x')).toBe('pars 解析');
  });

  test('hashes, encoded data and lines of dashes do not flood the index', () => {
    const digest = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
    expect(lexicalText(`${digest}${digest} ${'-'.repeat(80)} ${'x'.repeat(100)}`)).toBe('');
  });
});

describe('a document weighs its symbol and its file name', () => {
  test('the symbol counts twice beside the text, the file name once more than its folders', () => {
    const terms = lexicalDocument({
      path: 'src/http/router.ts',
      symbol: 'matchRoute',
      text: 'return route',
    }).split(' ');
    const count = (term: string): number => terms.filter((other) => other === term).length;
    expect([count('http'), count('router'), count('match'), count('matchroute')]).toEqual([1, 2, 2, 2]);
  });
});

describe('stems', () => {
  test.each([
    ['parse parses parsed parsing', 1],
    ['query queries querying queried', 1],
    ['cache caches cached caching', 1],
    ['code codes coded coding', 1],
    ['file files filed filing', 1],
    ['queue queues queued queueing', 1],
    ['delete deletes deleted deleting', 1],
    ['create creates created creating', 1],
    ['enable enables enabled enabling', 1],
    ['run runs running', 1],
    ['commit commits committed committing', 1],
    ['embed embeds embedded embedding embeddings', 1],
    ['index indexes indexed indexing', 1],
    ['match matches matched matching', 1],
    ['retry retries retried retrying', 1],
    ['process processes processed processing', 1],
    ['alias aliases aliased', 1],
    ['add adds added adding', 1],
    ['state stat', 2],
    ['parse par', 2],
    ['node not', 2],
    ['string status class redis this during', 6],
  ])('of "%s": %i', (words, distinct) => {
    expect(new Set(words.split(' ').map(stem)).size).toBe(distinct);
  });
});

describe('whatever the text', () => {
  test('terms are lower-case, at most 64 characters long and separated by one space', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (text) => {
        const output = lexicalText(text);
        expect(output).toBe(output.toLowerCase());
        expect(output).not.toMatch(/^\s|\s\s|\s$/);
        for (const term of queryTerms(output)) expect(term.length).toBeLessThanOrEqual(64);
      }),
    );
  });

  test.each([
    ['one identifier of a megabyte', 'aB'.repeat(500_000)],
    ['a megabyte of dashes after a letter', `a${'-'.repeat(1_000_000)}`],
    ['letters and dashes in turns', 'a-'.repeat(500_000)],
    ['capitals only', 'A'.repeat(1_000_000)],
  ])('time grows with length only: %s', (_, text) => {
    const tenth = text.slice(0, text.length / 10);
    const cost = (input: string): number => {
      const start = performance.now();
      lexicalText(input);
      return performance.now() - start;
    };
    cost(tenth);
    // A quadratic scan would take 100 times as long, minutes on a megabyte; noise of the machine does not reach 40.
    expect(cost(text)).toBeLessThan(40 * Math.max(cost(tenth), 5));
  });
});
