import { describe, expect, test } from 'vitest';
import type { VectorStore } from '../store.ts';
import { allVisibleRows, everything, expectCode, visiblePaths, allStamps, type Stores } from './context.ts';
import { otherSpace, row, run, space, vectorOf } from './samples.ts';

export function describeCollections(stores: Stores, open: () => Promise<VectorStore>): void {
  describe('collections', () => {
    test('one made by the indexer is there for the gateway, with its space', async () => {
      const { reader } = stores;
      const stamp = await reader.getCollection('default');
      expect(stamp).toMatchObject({ name: 'default', space, secondSpace: null });
      expect(Date.parse(stamp.createdAt)).toBeGreaterThan(0);
      expect(await reader.listCollections()).toEqual([stamp]);
    });

    test('processes that start together agree on one collection, and asking again changes nothing', async () => {
      const third = await open();
      const { writer, reader } = stores;
      const stamps = await Promise.all(
        [writer, reader, third, writer, reader, third].map((store) =>
          store.ensureCollection('shared', space),
        ),
      );
      expect(new Set(stamps.map((stamp) => JSON.stringify(stamp))).size).toBe(1);
      await writer.upsertRows('shared', [row()]);
      expect(await reader.ensureCollection('shared', space)).toEqual(stamps[0]);
      expect(await reader.countByRepo('shared')).toEqual([{ repo: 'app', chunks: 1 }]);
      await third.close();
    });

    test('another embedding space is refused, not mixed in', async () => {
      await expectCode(stores.reader.ensureCollection('default', otherSpace), 'space_mismatch');
      const wide = row({ vector: new Float32Array(8).fill(1) });
      await expectCode(
        stores.writer.upsertRows('default', [row({ path: 'good.ts' }), wide]),
        'space_mismatch',
      );
      await expectCode(
        stores.reader.searchDense('default', new Float32Array(3).fill(1), everything),
        'space_mismatch',
      );
      // The good row of the refused batch is not there either.
      expect(await visiblePaths(stores)).toEqual([]);
    });

    test('a name nobody made is not found, whatever is asked of it', async () => {
      const { reader } = stores;
      const calls = [
        () => reader.getCollection('nobody'),
        () => reader.dropCollection('nobody'),
        () => reader.putRun(run('r', 'pending', { collection: 'nobody' })),
        () => reader.listRuns('nobody'),
        () => reader.deleteRun('nobody', 'r'),
        () => reader.upsertRows('nobody', [row()]),
        () => reader.markRemoved('nobody', ['x'], 'r'),
        () => reader.clearRemovedMarks('nobody', 'r'),
        () => reader.deleteRows('nobody', { addedBy: 'r' }),
        () => reader.stamps('nobody', 'app')[Symbol.asyncIterator]().next(),
        () => reader.vectorsByHash('nobody', ['x']),
        () => reader.vectorsById('nobody', ['x']),
        () => reader.searchDense('nobody', vectorOf(1), everything),
        () => reader.searchLexical('nobody', 'x', everything),
        () => reader.readChunks('nobody', { id: 'x' }),
        () => reader.countByRepo('nobody'),
        () => reader.countUnembedded('nobody'),
        () => reader.unembedded('nobody', 'r')[Symbol.asyncIterator]().next(),
        () => reader.visibleRows('nobody')[Symbol.asyncIterator]().next(),
        () => reader.createSuccessor('nobody', 'next', { space, secondSpace: null }),
        () => reader.replaceBySuccessor('nobody', 'next'),
        () => reader.sizeBytes('nobody'),
        () => reader.optimize('nobody'),
      ];
      for (const call of calls) await expectCode(call(), 'collection_not_found');
    });

    test('a dropped one is gone for all, and a new one of its name starts empty', async () => {
      const { writer, reader } = stores;
      await writer.putRun(run('old', 'pending'));
      await writer.upsertRows('default', [row({ addedBy: 'old' })]);
      expect(await reader.listRuns('default')).toHaveLength(1);
      await writer.dropCollection('default');
      await expectCode(reader.searchDense('default', vectorOf(1), everything), 'collection_not_found');
      expect(await reader.listCollections()).toEqual([]);

      await writer.ensureCollection('default', otherSpace);
      expect((await reader.getCollection('default')).space).toEqual(otherSpace);
      expect(await reader.listRuns('default')).toEqual([]);
      expect(await visiblePaths(stores)).toEqual([]);
    });

    test('an empty one answers every question', async () => {
      const { reader, writer } = stores;
      expect(await reader.searchDense('default', vectorOf(1), everything)).toEqual([]);
      expect(await reader.searchLexical('default', 'anything', everything)).toEqual([]);
      expect(await reader.readChunks('default', { id: 'none' })).toEqual([]);
      expect(await reader.countByRepo('default')).toEqual([]);
      expect(await allStamps(reader, 'app')).toEqual([]);
      expect(await reader.vectorsByHash('default', ['none'])).toEqual(new Map());
      expect(await reader.vectorsById('default', ['none'])).toEqual(new Map());
      expect(await allVisibleRows(reader, 'default')).toEqual([]);
      await writer.upsertRows('default', []);
      await writer.markRemoved('default', [], 'r');
      await writer.optimize('default');
      await reader.ping();
    });
  });
}
