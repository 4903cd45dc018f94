import { describe, expect, test } from 'vitest';
import { lexicalText } from '../lexical-text.ts';
import type { ChunkRow } from '../store.ts';
import { allVisibleRows, everything, idsOf, visiblePaths, allStamps, type Stores } from './context.ts';
import { hostileStrings, row, run, vectorOf } from './samples.ts';

export function describeReading(stores: Stores): void {
  describe('reading back', () => {
    test('a file comes in line order, another repo of the same path does not mix in', async () => {
      const { writer, reader } = stores;
      await writer.upsertRows('default', [
        row({ startLine: 20, endLine: 30 }),
        row({ startLine: 1, endLine: 9 }),
        row({ startLine: 10, endLine: 19 }),
        row({ repo: 'lib', startLine: 5 }),
      ]);
      const chunks = await reader.readChunks('default', { repo: 'app', path: 'src/index.ts' });
      expect(chunks.map(({ startLine }) => startLine)).toEqual([1, 10, 20]);
    });

    test('all rows say whether full text finds them', async () => {
      const { writer, reader } = stores;
      await writer.upsertRows('default', [
        row({ path: 'found.ts' }),
        row({ path: 'by-vector.ts', lexicalText: '' }),
        row({ path: 'by-words.ts', vector: null }),
      ]);
      const rows = await allVisibleRows(reader, 'default');
      expect(Object.fromEntries(rows.map(({ path, lexical }) => [path, lexical]))).toEqual({
        'found.ts': true,
        'by-vector.ts': false,
        'by-words.ts': true,
      });
    });

    test('hostile strings come back as they went in, from every method', async () => {
      const { writer, reader } = stores;
      const rows = hostileStrings.map((text, i) =>
        row({
          id: text,
          repo: text,
          path: text,
          symbol: text,
          text,
          embeddedHash: text,
          startLine: i,
          addedBy: text,
        }),
      );
      await writer.upsertRows('default', rows);
      for (const written of rows) {
        const text = written.id;
        const [byId] = await reader.readChunks('default', { id: text });
        expect(byId).toMatchObject({ id: text, repo: text, path: text, symbol: text, text });
        expect(await reader.readChunks('default', { repo: text, path: text })).toHaveLength(1);
        const stamp = { id: text, path: text, addedBy: text, removedBy: null };
        expect(await allStamps(reader, text)).toEqual([stamp]);
        await writer.markRemoved('default', [text], text);
        expect(await allStamps(reader, text)).toEqual([{ ...stamp, removedBy: text }]);
      }
      expect((await reader.vectorsByHash('default', hostileStrings)).size).toBe(hostileStrings.length);
      expect([...(await reader.vectorsById('default', hostileStrings)).keys()].sort()).toEqual(
        hostileStrings.toSorted(),
      );
      for (const text of hostileStrings) {
        await writer.putRun(run(text, 'pending'));
        expect(idsOf(await reader.searchDense('default', vectorOf(1), everything))).not.toContain(text);
        await writer.clearRemovedMarks('default', text);
        await writer.deleteRows('default', { addedBy: text });
      }
      expect(await reader.countByRepo('default')).toEqual([]);
    });

    test('vectors are known by the hash of their text, from any repo, bit by bit', async () => {
      const { writer, reader } = stores;
      const exact = Float32Array.of(0.1, -0.2, 0.3, Math.sqrt(1 - 0.14));
      await writer.upsertRows('default', [
        row({ repo: 'app', embeddedHash: 'h1', vector: exact }),
        row({ repo: 'lib', embeddedHash: 'h1', vector: exact }),
        row({ repo: 'lib', path: 'x', embeddedHash: 'h2', vector: vectorOf(0, 1) }),
      ]);
      const vectors = await reader.vectorsByHash('default', ['h1', 'h2', 'h3', 'h1']);
      expect([...vectors.keys()].sort()).toEqual(['h1', 'h2']);
      expect(vectors.get('h1')).toEqual({ vector: exact, secondVector: null });
    });

    test('vectors are known by the row that has them, seen or not, with what they were made of', async () => {
      const { writer, reader } = stores;
      const exact = Float32Array.of(0.1, -0.2, 0.3, Math.sqrt(1 - 0.14));
      const rows = [
        row({ path: 'seen.ts', embeddedHash: 'h1', vector: exact, addedBy: 'done' }),
        row({ path: 'same.ts', embeddedHash: 'h1', vector: exact, addedBy: 'pending' }),
        row({ path: 'removed.ts', embeddedHash: 'h2', vector: vectorOf(1), removedBy: 'done' }),
      ];
      await writer.upsertRows('default', rows);
      await writer.putRun(run('done', 'committed'));
      await writer.putRun(run('pending', 'pending'));
      const [seen, same, removed] = rows.map(({ id }) => id) as [string, string, string];
      const first = { embeddedHash: 'h1', vector: exact, secondVector: null };
      expect(await reader.vectorsById('default', [seen, 'unknown', removed, seen, same])).toEqual(
        new Map([
          [seen, first],
          [removed, { embeddedHash: 'h2', vector: vectorOf(1), secondVector: null }],
          [same, first],
        ]),
      );
    });

    test('a sample holds visible rows alone, with what they say and their vectors, bit by bit', async () => {
      const { writer, reader } = stores;
      const exact = Float32Array.of(0.1, -0.2, 0.3, Math.sqrt(1 - 0.14));
      const visible = Array.from({ length: 20 }, (_, n) =>
        row({ path: `src/${n}.ts`, embeddedHash: `h${n}`, vector: exact, addedBy: 'done' }),
      );
      const removed = row({ path: 'old.ts', addedBy: 'done', removedBy: 'next' });
      await writer.upsertRows('default', [...visible, removed, row({ path: 'new.ts', addedBy: 'pending' })]);
      for (const [id, state] of [
        ['done', 'committed'],
        ['next', 'committed'],
        ['pending', 'pending'],
      ] as const)
        await writer.putRun(run(id, state));
      const sample = await reader.sampleRows('default', 8);
      expect(sample).toHaveLength(8);
      for (const { vector, embeddedHash, ...chunk } of sample) {
        const written = visible.find(({ id }) => id === chunk.id);
        expect(written).toMatchObject({ ...chunk, embeddedHash });
        expect(vector).toEqual(exact);
      }
      // Not rows that lie side by side: two samples of which both happen to are one in a hundred million.
      const spreads = [sample, await reader.sampleRows('default', 8)].map((rows) => {
        const places = rows.map(({ path }) => Number(/\d+/.exec(path)?.[0]));
        expect(new Set(places).size).toBe(8);
        return Math.max(...places) - Math.min(...places);
      });
      expect(Math.max(...spreads)).toBeGreaterThan(7);
      expect((await reader.sampleRows('default', 100)).map(({ path }) => path).sort()).toEqual(
        visible.map(({ path }) => path).sort(),
      );
    });

    test('a row that is written again replaces itself, also within a batch', async () => {
      const { writer, reader } = stores;
      const again = row({ addedBy: 'run-9' });
      await writer.upsertRows('default', [row()]);
      await writer.upsertRows('default', [row(), again]);
      const stamp = { id: again.id, path: again.path, addedBy: 'run-9', removedBy: null };
      expect(await allStamps(reader, 'app')).toEqual([stamp]);
      await writer.optimize('default');
      await writer.upsertRows('default', [row({ addedBy: 'run-10' })]);
      expect(await allStamps(reader, 'app')).toEqual([{ ...stamp, addedBy: 'run-10' }]);
      expect(await reader.countByRepo('default')).toEqual([{ repo: 'app', chunks: 1 }]);
    });
  });
}

export function describeScale(stores: Stores): void {
  describe('a process that writes', () => {
    test('reads the same collection meanwhile, and neither fails', async () => {
      const { writer } = stores;
      let isWriting = true;
      const readers = [1, 2, 3].map(async () => {
        while (isWriting) await writer.countByRepo('default');
      });
      try {
        for (let batch = 0; batch < 20; batch++) {
          const rows = Array.from({ length: 20 }, (_, i) => row({ path: `src/${batch}-${i}.ts` }));
          await writer.upsertRows('default', rows);
        }
      } finally {
        isWriting = false;
        await Promise.all(readers);
      }
      expect(await writer.countByRepo('default')).toEqual([{ repo: 'app', chunks: 400 }]);
    });
  });

  describe('five thousand rows in batches', () => {
    test('are all there, in pages, before and after optimising, while the other process reads', async () => {
      const { writer, reader } = stores;
      // Cosines with the first axis in equal steps.
      const vectorAt = (i: number): Float32Array =>
        vectorOf(1 - i / 5_000, Math.sqrt(1 - (1 - i / 5_000) ** 2));
      const rows: ChunkRow[] = Array.from({ length: 5_000 }, (_, i) =>
        row({ path: `src/${i}.ts`, text: `body${i} shared`, vector: vectorAt(i), addedBy: 'big' }),
      );
      await writer.putRun(run('big', 'pending'));
      for (let start = 0; start < rows.length; start += 1_000) {
        await writer.upsertRows('default', rows.slice(start, start + 1_000));
        expect(await visiblePaths(stores)).toEqual([]);
      }
      await writer.putRun(run('big', 'committed'));
      for (const optimise of [false, true]) {
        if (optimise) await writer.optimize('default');
        expect(await reader.countByRepo('default')).toEqual([{ repo: 'app', chunks: 5_000 }]);
        const dense = await reader.searchDense('default', vectorOf(1), { limit: 5, filter: {} });
        expect(dense.map(({ path }) => path)).toEqual([0, 1, 2, 3, 4].map((i) => `src/${i}.ts`));
        const lexical = await reader.searchLexical('default', lexicalText('body4321'), everything);
        expect(lexical[0]?.path).toBe('src/4321.ts');
      }
      const pages: number[] = [];
      const seen = new Set<string>();
      for await (const page of reader.stamps('default', 'app')) {
        pages.push(page.length);
        for (const stamp of page) seen.add(stamp.id);
      }
      expect(seen.size).toBe(5_000);
      expect(Math.max(...pages)).toBeLessThanOrEqual(4_096);
      const hashes = rows.map(({ embeddedHash }) => embeddedHash);
      expect((await reader.vectorsByHash('default', hashes.slice(0, 2_500))).size).toBe(2_500);
      expect((await reader.vectorsById('default', idsOf(rows.slice(0, 2_500)))).size).toBe(2_500);

      await writer.markRemoved('default', idsOf(rows.slice(0, 2_500)), 'next');
      await writer.putRun(run('next', 'committed'));
      expect(await reader.countByRepo('default')).toEqual([{ repo: 'app', chunks: 2_500 }]);
      const size = await reader.sizeBytes('default');
      if (size !== null) expect(size).toBeGreaterThan(10_000);
    });
  });
}
