import { spaceId } from '@embergate/contracts/space.ts';
import { describe, expect, test } from 'vitest';
import type { ChunkRow } from '../store.ts';
import { allVisibleRows, everything, expectCode, pathsOf, type Stores } from './context.ts';
import { otherSpace, row, smallSpace, space, vectorOf } from './samples.ts';

const small = (...numbers: number[]): Float32Array => Float32Array.from(numbers);

export function describeSecondSpace(stores: Stores): void {
  describe('a collection of two spaces', () => {
    const exact = [
      Float32Array.of(0.1, -0.2, 0.3, Math.sqrt(1 - 0.14)),
      Float32Array.of(0.28, 0.96),
    ] as const;
    const both = (path: string, vector: Float32Array, secondVector: Float32Array): ChunkRow =>
      row({ path, text: path, vector, secondVector, embeddedHash: path });

    async function fill(): Promise<ChunkRow[]> {
      const { writer } = stores;
      await writer.ensureCollection('two', space, smallSpace);
      const rows = [
        both('left', vectorOf(1), small(0, 1)),
        both('right', vectorOf(0, 1), small(1, 0)),
        both('exact', exact[0], exact[1]),
      ];
      await writer.upsertRows('two', rows);
      return rows;
    }

    test('is searched in either of them', async () => {
      const { reader } = stores;
      await fill();
      const best = async (vector: Float32Array, which?: 'first' | 'second'): Promise<string | undefined> => {
        const options = { limit: 1, filter: {}, ...(which && { space: which }) };
        return (await reader.searchDense('two', vector, options))[0]?.path;
      };
      expect(await best(vectorOf(1))).toBe('left');
      expect(await best(vectorOf(1), 'first')).toBe('left');
      expect(await best(small(1, 0), 'second')).toBe('right');
      const [scored] = await reader.searchDense('two', small(0.28, 0.96), { ...everything, space: 'second' });
      expect(scored).toMatchObject({ path: 'exact' });
      expect(scored?.score).toBeCloseTo(1, 4);
      expect(pathsOf(await reader.searchLexical('two', 'left', everything))).toEqual(['left']);
    });

    test('is not searched with a vector of a space that a field has no more', async () => {
      const { reader } = stores;
      await fill();
      const search = (which: 'first' | 'second', id: string) =>
        reader.searchDense('two', which === 'first' ? vectorOf(1) : small(1, 0), {
          ...everything,
          space: which,
          spaceId: id,
        });
      expect(await search('first', spaceId(space))).not.toEqual([]);
      expect(await search('second', spaceId(smallSpace))).not.toEqual([]);
      // Equal in length, and of another model.
      const other = spaceId({ ...space, revision: 'another' });
      await expectCode(search('first', other), 'space_mismatch');
      await expectCode(search('second', spaceId(space)), 'space_mismatch');
    });

    test('gives both vectors back, bit by bit', async () => {
      const { reader } = stores;
      const rows = await fill();
      const [vector, secondVector] = exact;
      expect(await reader.vectorsByHash('two', ['exact'])).toEqual(
        new Map([['exact', { vector, secondVector }]]),
      );
      const [{ id }] = rows.filter(({ path }) => path === 'exact') as [ChunkRow];
      expect((await reader.vectorsById('two', [id])).get(id)).toMatchObject({ vector, secondVector });
      const sample = await reader.sampleRows('two', 10);
      expect(sample.find(({ path }) => path === 'exact')).toMatchObject({ vector, secondVector });
      expect(pathsOf(sample)).toEqual(['exact', 'left', 'right']);
      const visible = await allVisibleRows(reader, 'two');
      for (const { lexicalText: _text, ...written } of rows)
        expect(visible).toContainEqual({ ...written, lexical: true });
    });

    test('says so, and is the same when it is asked for again', async () => {
      const { writer, reader } = stores;
      const stamp = await writer.ensureCollection('two', space, smallSpace);
      expect(stamp).toMatchObject({ name: 'two', space, secondSpace: smallSpace });
      expect(await reader.getCollection('two')).toEqual(stamp);
      expect(await reader.ensureCollection('two', space, smallSpace)).toEqual(stamp);
      // Who knows of one space only works with it all the same.
      expect(await reader.ensureCollection('two', space)).toEqual(stamp);
      await expectCode(reader.ensureCollection('two', space, null), 'space_mismatch');
      await expectCode(reader.ensureCollection('two', space, otherSpace), 'space_mismatch');
      await expectCode(reader.ensureCollection('two', smallSpace, space), 'space_mismatch');
      await expectCode(reader.ensureCollection('default', space, smallSpace), 'space_mismatch');
    });

    test('takes no row without a vector in each space, and one of a single space none with two', async () => {
      const { writer, reader } = stores;
      await fill();
      const good = both('good', vectorOf(1), small(1, 0));
      for (const bad of [
        row({ path: 'bad' }),
        both('bad', vectorOf(1), vectorOf(1)),
        both('bad', small(1, 0), small(1, 0)),
      ]) {
        await expectCode(writer.upsertRows('two', [good, bad]), 'space_mismatch');
      }
      expect(await reader.countByRepo('two')).toEqual([{ repo: 'app', chunks: 3 }]);
      await expectCode(writer.upsertRows('default', [good]), 'space_mismatch');
      const inSecond = { ...everything, space: 'second' } as const;
      await expectCode(reader.searchDense('default', small(1, 0), inSecond), 'space_mismatch');
      await expectCode(reader.searchDense('two', vectorOf(1), inSecond), 'space_mismatch');
      await expectCode(reader.searchDense('two', small(1, 0), everything), 'space_mismatch');
    });
  });
}
