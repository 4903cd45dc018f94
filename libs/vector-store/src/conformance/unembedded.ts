import { describe, expect, test } from 'vitest';
import { lexicalText } from '../lexical-text.ts';
import type { ChunkRow, VectorStore } from '../store.ts';
import { allVisibleRows, everything, expectCode, pathsOf, visiblePaths, type Stores } from './context.ts';
import { row, run, smallSpace, space, vectorOf } from './samples.ts';

export function describeUnembedded(stores: Stores): void {
  describe('the first run of a repo', () => {
    const files = ['a.ts', 'b.ts', 'c.ts'];
    const of = (path: string, vector: Float32Array | null): ChunkRow =>
      row({ path, text: `needle ${path}`, embeddedHash: path, addedBy: 'first', vector });
    const lexicalPaths = async (): Promise<string[]> =>
      pathsOf(await stores.reader.searchLexical('default', lexicalText('needle'), everything));

    async function startEmbedding(): Promise<void> {
      const { writer } = stores;
      await writer.putRun(run('first', 'pending'));
      await writer.upsertRows(
        'default',
        files.map((path) => of(path, null)),
      );
    }

    test('is found by full text before it has vectors, and by dense search as they come', async () => {
      const { writer, reader } = stores;
      await startEmbedding();
      expect(await lexicalPaths()).toEqual([]);
      expect(await reader.countUnembedded('default')).toEqual([]);
      await writer.optimize('default');
      await writer.putRun(run('first', 'embedding'));
      for (let made = 0; made <= files.length; made++) {
        if (made > 0) await writer.upsertRows('default', [of(files[made - 1] ?? '', vectorOf(1))]);
        if (made === 2) await writer.optimize('default');
        expect(await lexicalPaths()).toEqual(files);
        expect(await visiblePaths(stores)).toEqual(files.slice(0, made));
        expect(await reader.countByRepo('default')).toEqual([{ repo: 'app', chunks: 3 }]);
        const missing = files.length - made;
        expect(await reader.countUnembedded('default')).toEqual(
          missing > 0 ? [{ repo: 'app', chunks: missing }] : [],
        );
        expect((await unembeddedIds(reader, 'first')).length).toBe(missing);
        expect(await unembeddedIds(reader, 'another')).toEqual([]);
      }
      await writer.putRun(run('first', 'committed'));
      expect(await visiblePaths(stores)).toEqual(files);
    });

    test('lends no vector that it does not have', async () => {
      const { writer, reader } = stores;
      await startEmbedding();
      await writer.putRun(run('first', 'embedding'));
      // The same text, once with and once without.
      await writer.upsertRows('default', [
        of('a.ts', vectorOf(1)),
        { ...of('twin.ts', null), embeddedHash: 'a.ts' },
      ]);
      const known = { vector: vectorOf(1), secondVector: null };
      expect(await reader.vectorsByHash('default', ['a.ts', 'b.ts'])).toEqual(new Map([['a.ts', known]]));
      const ids = files.map((path) => of(path, null).id);
      expect(await reader.vectorsById('default', ids)).toEqual(
        new Map([[ids[0], { embeddedHash: 'a.ts', ...known }]]),
      );
      expect(pathsOf(await reader.sampleRows('default', 10))).toEqual(['a.ts']);
      const rows = await allVisibleRows(reader, 'default');
      expect(pathsOf(rows)).toEqual([...files, 'twin.ts']);
      const none = { vector: null, secondVector: null };
      expect(rows.find(({ path }) => path === 'b.ts')).toMatchObject({ embeddedHash: 'b.ts', ...none });
    });

    test('shows what it is about to remove until it is committed', async () => {
      const { writer } = stores;
      await startEmbedding();
      await writer.putRun(run('first', 'embedding'));
      await writer.markRemoved('default', [of('b.ts', null).id], 'first');
      expect(await lexicalPaths()).toEqual(files);
      await writer.putRun(run('first', 'committed'));
      expect(await lexicalPaths()).toEqual(['a.ts', 'c.ts']);
    });

    test('has both vectors of a row or none, where there are two spaces', async () => {
      const { writer, reader } = stores;
      await writer.ensureCollection('two', space, smallSpace);
      await writer.upsertRows('two', [of('a.ts', null)]);
      const secondVector = Float32Array.of(1, 0);
      await expectCode(writer.upsertRows('two', [{ ...of('b.ts', null), secondVector }]), 'space_mismatch');
      const inSecond = { ...everything, space: 'second' } as const;
      expect(await reader.searchDense('two', secondVector, inSecond)).toEqual([]);
      await writer.upsertRows('two', [{ ...of('a.ts', vectorOf(1)), secondVector }]);
      expect(pathsOf(await reader.searchDense('two', secondVector, inSecond))).toEqual(['a.ts']);
    });
  });
}

async function unembeddedIds(store: VectorStore, runId: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const page of store.unembedded('default', runId)) ids.push(...page);
  return ids;
}
