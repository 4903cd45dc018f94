import { describe, expect, test } from 'vitest';
import { lexicalText } from '../lexical-text.ts';
import type { SearchOptions } from '../store.ts';
import { idsOf, pathsOf, type Stores } from './context.ts';
import { hostileStrings, row, vectorOf } from './samples.ts';

export function describeFilters(stores: Stores): void {
  describe('filters', () => {
    async function found(filter: SearchOptions['filter'], limit = 100): Promise<string[]> {
      const dense = await stores.reader.searchDense('default', vectorOf(1), { limit, filter });
      const lexical = await stores.reader.searchLexical('default', lexicalText('needle'), { limit, filter });
      // With a limit, each takes the best of its own ranking.
      if (limit === 100) expect(idsOf(lexical)).toEqual(idsOf(dense));
      else expect(lexical).toHaveLength(dense.length);
      return pathsOf(dense);
    }

    test('narrow both searches by repo, language and path', async () => {
      await stores.writer.upsertRows('default', [
        row({ repo: 'app', path: 'src/a.ts', language: 'typescript', text: 'needle' }),
        row({ repo: 'app', path: 'src/deep/b.py', language: 'python', text: 'needle' }),
        row({ repo: 'lib', path: 'test/c.py', language: 'python', text: 'needle' }),
        row({ repo: 'lib', path: 'd.ts', language: 'typescript', text: 'needle' }),
      ]);
      expect(await found({ repo: ['app'] })).toEqual(['src/a.ts', 'src/deep/b.py']);
      expect(await found({ repo: ['app', 'lib'], language: ['python'] })).toEqual([
        'src/deep/b.py',
        'test/c.py',
      ]);
      expect(await found({ repo: ['nobody'] })).toEqual([]);
      expect(await found({ path: 'src/**' })).toEqual(['src/a.ts', 'src/deep/b.py']);
      expect(await found({ path: 'src/*' })).toEqual(['src/a.ts']);
      expect(await found({ path: '**/*.py' })).toEqual(['src/deep/b.py', 'test/c.py']);
      expect(await found({ path: '*.ts' })).toEqual(['d.ts']);
      expect(await found({ path: 'd.t?' })).toEqual(['d.ts']);
      expect(await found({ path: 'd.ts' })).toEqual(['d.ts']);
      expect(await found({ path: 'src/*/b.py', repo: ['app'], language: ['python'] })).toEqual([
        'src/deep/b.py',
      ]);
    });

    test('fill the limit from far down the ranking', async () => {
      const rows = Array.from({ length: 600 }, (_, i) =>
        row({
          path: `src/${i}.${i % 100 === 99 ? 'py' : 'ts'}`,
          vector: vectorOf(600 - i, i),
          text: 'needle',
        }),
      );
      await stores.writer.upsertRows('default', rows);
      expect(await found({ path: '**/*9?.py' })).toHaveLength(6);
      expect(await found({ path: '*/*.py' }, 4)).toHaveLength(4);
    });

    test('take hostile strings for what they are', async () => {
      const rows = hostileStrings.map((text) =>
        row({ repo: text, path: text, language: text, text: 'needle' }),
      );
      await stores.writer.upsertRows('default', rows);
      for (const text of hostileStrings) {
        expect(await found({ repo: [text] })).toEqual([text]);
        expect(await found({ language: [text, text] })).toEqual([text]);
      }
      for (const text of hostileStrings.filter((text) => !/[*?]|^\/|\/$/.test(text))) {
        expect(await found({ path: text })).toEqual([text]);
        expect(await found({ path: `${text.slice(0, 2)}*${text.slice(2)}` })).toEqual([text]);
      }
    });
  });
}
