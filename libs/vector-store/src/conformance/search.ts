import { describe, expect, test } from 'vitest';
import { lexicalText } from '../lexical-text.ts';
import { everything, type Stores } from './context.ts';
import { row, vectorOf } from './samples.ts';

export function describeDenseSearch(stores: Stores): void {
  describe('dense search', () => {
    test('ranks by exact cosine, whatever the length of the vectors', async () => {
      const { writer, reader } = stores;
      const long = vectorOf(1, 0.2).map((value) => value * 50);
      await writer.upsertRows('default', [
        row({ path: 'opposite', vector: vectorOf(-1) }),
        row({ path: 'close', vector: long }),
        row({ path: 'same', vector: vectorOf(1) }),
        row({ path: 'right-angle', vector: vectorOf(0, 1) }),
      ]);
      const results = await reader.searchDense('default', vectorOf(2), everything);
      expect(results.map(({ path }) => path)).toEqual(['same', 'close', 'right-angle', 'opposite']);
      const scores = results.map(({ score }) => score);
      for (const [index, expected] of [1, 1 / Math.hypot(1, 0.2), 0, -1].entries()) {
        expect(scores[index]).toBeCloseTo(expected, 4);
      }
      const two = await reader.searchDense('default', vectorOf(2), { limit: 2, filter: {} });
      expect(two.map(({ path }) => path)).toEqual(['same', 'close']);
    });

    test('returns a chunk as it was written, and no more', async () => {
      const { writer, reader } = stores;
      const written = row({ symbol: 'Server.close', startLine: 3, endLine: 7, text: 'line\n\tline' });
      await writer.upsertRows('default', [written]);
      const { id, repo, path, language, symbol, startLine, endLine, text } = written;
      const [found] = await reader.searchDense('default', vectorOf(1), everything);
      expect(found).toEqual({
        id,
        repo,
        path,
        language,
        symbol,
        startLine,
        endLine,
        text,
        score: found?.score,
      });
    });
  });
}

export function describeLexicalSearch(stores: Stores): void {
  const search = async (query: string): Promise<string[]> => {
    const results = await stores.reader.searchLexical('default', lexicalText(query), everything);
    return results.map(({ path }) => path);
  };

  describe('lexical search', () => {
    test('finds parseHttpHeader by "parse http header", before and after the index is brought up to date', async () => {
      const { writer } = stores;
      await writer.upsertRows('default', [
        row({ path: 'header.ts', text: 'function parseHttpHeader(line) { return line }' }),
        row({ path: 'body.ts', text: 'function read_body(stream) { return stream }' }),
      ]);
      expect(await search('how do I parse an HTTP header?')).toEqual(['header.ts']);
      await writer.optimize('default');
      await writer.upsertRows('default', [row({ path: 'late.ts', text: 'parse_http_header_list()' })]);
      expect((await search('parse http header')).sort()).toEqual(['header.ts', 'late.ts']);
      expect(await search('readBody')).toEqual(['body.ts']);
      expect(await search('of the')).toEqual([]);
      expect(await search('nowhere')).toEqual([]);
    });

    test('ranks the chunk that holds more and rarer words first', async () => {
      const { writer, reader } = stores;
      const common = Array.from({ length: 20 }, (_, i) =>
        row({ path: `common-${i}`, text: `request number${i}` }),
      );
      await writer.upsertRows('default', [
        ...common,
        row({ path: 'rare', text: 'circuit breaker station' }),
        row({ path: 'both', text: 'request circuit breaker' }),
      ]);
      const results = await reader.searchLexical('default', 'request circuit breaker', everything);
      expect(results.slice(0, 2).map(({ path }) => path)).toEqual(['both', 'rare']);
      const scores = results.map(({ score }) => score);
      expect(scores).toEqual(scores.toSorted((one, other) => other - one));
    });

    test('takes a query of thousands of words', async () => {
      const { writer } = stores;
      await writer.upsertRows('default', [row({ path: 'found.ts', text: 'word7x' })]);
      expect(await search(Array.from({ length: 3_000 }, (_, i) => `word${i}x`).join(' '))).toContain(
        'found.ts',
      );
    });
  });
}
