import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import { hostileStrings, otherSpace, row, run, space, vectorOf } from './conformance-samples.ts';
import { lexicalText } from './lexical-text.ts';
import type { ChunkRow, ChunkStamp, SearchOptions, VectorStore } from './store.ts';

/** One storage that several stores open, as the processes of a deployment do. */
export interface VectorStoreFixture {
  open(): Promise<VectorStore>;
  /** Called at the end, when all stores are closed. */
  remove(): Promise<void>;
}

/** What a group of tests works with: `writer` indexes, `reader` searches, each with a connection of its own. */
interface Stores {
  writer: VectorStore;
  reader: VectorStore;
}

const everything: SearchOptions = { limit: 100, filter: {} };

/**
 * The suite that every adapter of the port passes; import it in a test file of the adapter and call it there.
 * All writes go through one store and nearly all reads through another.
 */
export function describeVectorStore(name: string, createFixture: () => Promise<VectorStoreFixture>): void {
  describe(`${name} as a vector store`, () => {
    const stores = {} as Stores;
    let fixture: VectorStoreFixture;

    beforeAll(async () => {
      fixture = await createFixture();
      stores.writer = await fixture.open();
      stores.reader = await fixture.open();
    });
    beforeEach(async () => {
      for (const { name } of await stores.writer.listCollections()) await stores.writer.dropCollection(name);
      await stores.writer.ensureCollection('default', space);
    });
    afterAll(async () => {
      await stores.writer.close();
      await stores.reader.close();
      await fixture.remove();
    });

    describeCollections(stores, () => fixture.open());
    describeRuns(stores);
    describeDenseSearch(stores);
    describeLexicalSearch(stores);
    describeFilters(stores);
    describeReading(stores);
    describeScale(stores);
  });
}

async function expectCode(failing: Promise<unknown>, code: ErrorCode): Promise<void> {
  const error = await failing.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AppError);
  expect((error as AppError).code).toBe(code);
}

const idsOf = (rows: { id: string }[]): string[] => rows.map(({ id }) => id).sort();
const pathsOf = (rows: { path: string }[]): string[] => rows.map(({ path }) => path).sort();

async function visiblePaths({ reader }: Stores): Promise<string[]> {
  return pathsOf(await reader.searchDense('default', vectorOf(1, 1, 1, 1), everything));
}

async function allStamps(store: VectorStore, repo: string): Promise<ChunkStamp[]> {
  const stamps: ChunkStamp[] = [];
  for await (const page of store.stamps('default', repo)) stamps.push(...page);
  return stamps;
}

function describeCollections(stores: Stores, open: () => Promise<VectorStore>): void {
  describe('collections', () => {
    test('one made by the indexer is there for the gateway, with its space', async () => {
      const { reader } = stores;
      const stamp = await reader.getCollection('default');
      expect(stamp).toMatchObject({ name: 'default', space });
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
        () => reader.searchDense('nobody', vectorOf(1), everything),
        () => reader.searchLexical('nobody', 'x', everything),
        () => reader.readChunks('nobody', { id: 'x' }),
        () => reader.countByRepo('nobody'),
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
      await writer.upsertRows('default', []);
      await writer.markRemoved('default', [], 'r');
      await writer.optimize('default');
      await reader.ping();
    });
  });
}

function describeRuns(stores: Stores): void {
  describe('index runs', () => {
    const before = row({ path: 'kept.ts', text: 'kept' });
    const old = row({ path: 'old.ts', text: 'old' });
    const fresh = row({ path: 'fresh.ts', text: 'fresh', addedBy: 'run-1' });

    /** A re-index that keeps one file, drops one and adds one, and has not been published. */
    async function startReindex(): Promise<void> {
      const { writer } = stores;
      await writer.upsertRows('default', [before, old]);
      await writer.putRun(run('run-1', 'pending'));
      await writer.upsertRows('default', [fresh]);
      await writer.markRemoved('default', [old.id, 'unknown-id'], 'run-1');
    }

    test('change nothing that a search sees until they are committed, and then all of it at once', async () => {
      const { writer, reader } = stores;
      await startReindex();
      expect(await visiblePaths(stores)).toEqual(['kept.ts', 'old.ts']);
      expect(await reader.countByRepo('default')).toEqual([{ repo: 'app', chunks: 2 }]);
      expect(pathsOf(await reader.searchLexical('default', 'fresh old', everything))).toEqual(['old.ts']);
      expect(await reader.readChunks('default', { id: fresh.id })).toEqual([]);

      await writer.putRun(run('run-1', 'committed'));
      expect(await visiblePaths(stores)).toEqual(['fresh.ts', 'kept.ts']);
      expect(await reader.countByRepo('default')).toEqual([{ repo: 'app', chunks: 2 }]);
      expect(pathsOf(await reader.searchLexical('default', 'fresh old', everything))).toEqual(['fresh.ts']);
      expect(await reader.readChunks('default', { id: old.id })).toEqual([]);
    });

    test('leave the same picture when they are swept', async () => {
      const { writer, reader } = stores;
      await startReindex();
      await writer.putRun(run('run-1', 'committed'));
      await writer.deleteRows('default', { removedBy: 'run-1' });
      await writer.deleteRun('default', 'run-1');
      expect(await visiblePaths(stores)).toEqual(['fresh.ts', 'kept.ts']);
      expect(await reader.listRuns('default')).toEqual([]);
      expect(pathsOf(await allStamps(reader, 'app'))).toEqual(['fresh.ts', 'kept.ts']);
    });

    test('leave no trace when they are cancelled', async () => {
      const { writer, reader } = stores;
      await startReindex();
      await writer.putRun(run('run-1', 'cancelled'));
      expect(await visiblePaths(stores)).toEqual(['kept.ts', 'old.ts']);
      await writer.deleteRows('default', { addedBy: 'run-1' });
      await writer.clearRemovedMarks('default', 'run-1');
      await writer.deleteRun('default', 'run-1');
      expect(await visiblePaths(stores)).toEqual(['kept.ts', 'old.ts']);
      const stamps = await allStamps(reader, 'app');
      expect(stamps.map((stamp) => stamp.removedBy)).toEqual([null, null]);
    });

    test('of other repos and collections do not disturb each other', async () => {
      const { writer, reader } = stores;
      await writer.ensureCollection('other', space);
      await startReindex();
      await writer.putRun(run('run-2', 'pending', { repo: 'lib' }));
      await writer.upsertRows('default', [row({ repo: 'lib', path: 'lib.ts', addedBy: 'run-2' })]);
      await writer.upsertRows('other', [row({ path: 'elsewhere.ts', addedBy: 'run-1' })]);
      await writer.putRun(run('run-2', 'committed', { repo: 'lib' }));
      expect(await visiblePaths(stores)).toEqual(['kept.ts', 'lib.ts', 'old.ts']);
      expect(pathsOf(await reader.searchDense('other', vectorOf(1), everything))).toEqual(['elsewhere.ts']);
    });

    test('a chunk that comes back after a committed run removed it is one visible row again', async () => {
      const { writer } = stores;
      await startReindex();
      await writer.putRun(run('run-1', 'committed'));
      await writer.putRun(run('run-2', 'pending'));
      await writer.upsertRows('default', [{ ...old, addedBy: 'run-2', removedBy: null }]);
      expect(await visiblePaths(stores)).toEqual(['fresh.ts', 'kept.ts']);
      await writer.putRun(run('run-2', 'committed'));
      expect(await visiblePaths(stores)).toEqual(['fresh.ts', 'kept.ts', 'old.ts']);
    });

    test('keep one record each, replaced in one step and listed for the collection only', async () => {
      const { writer, reader } = stores;
      await writer.ensureCollection('other', space);
      const hostile = run('it\'s "run" 🙂', 'pending', { repo: "o'repo", commit: 'abc' });
      await Promise.all([
        writer.putRun(hostile),
        reader.putRun(hostile),
        writer.putRun(run('r2', 'pending')),
      ]);
      await writer.putRun(run('r3', 'committed', { collection: 'other' }));
      await writer.putRun({ ...hostile, state: 'committed', finishedAt: '2026-01-02T00:00:00.000Z' });
      const runs = (await reader.listRuns('default')).sort((one, other) => (one.id < other.id ? -1 : 1));
      expect(runs).toEqual([
        { ...hostile, state: 'committed', finishedAt: '2026-01-02T00:00:00.000Z' },
        run('r2', 'pending'),
      ]);
      await writer.deleteRun('default', hostile.id);
      await writer.deleteRun('default', 'unknown');
      expect(idsOf(await reader.listRuns('default'))).toEqual(['r2']);
      expect(idsOf(await reader.listRuns('other'))).toEqual(['r3']);
    });
  });
}

function describeDenseSearch(stores: Stores): void {
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

function describeLexicalSearch(stores: Stores): void {
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

function describeFilters(stores: Stores): void {
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

function describeReading(stores: Stores): void {
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
      expect(vectors.get('h1')).toEqual(exact);
    });

    test('a row that is written again replaces itself, also within a batch', async () => {
      const { writer, reader } = stores;
      const again = row({ addedBy: 'run-9' });
      await writer.upsertRows('default', [row()]);
      await writer.upsertRows('default', [row(), again]);
      await writer.optimize('default');
      expect(await allStamps(reader, 'app')).toEqual([
        { id: again.id, path: again.path, addedBy: 'run-9', removedBy: null },
      ]);
    });
  });
}

function describeScale(stores: Stores): void {
  describe('five thousand rows in batches', () => {
    test('are all there, in pages, before and after optimising, while the other process reads', async () => {
      const { writer, reader } = stores;
      const rows: ChunkRow[] = Array.from({ length: 5_000 }, (_, i) =>
        row({ path: `src/${i}.ts`, text: `body${i} shared`, vector: vectorOf(5_000 - i, i), addedBy: 'big' }),
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

      await writer.markRemoved('default', idsOf(rows.slice(0, 2_500)), 'next');
      await writer.putRun(run('next', 'committed'));
      expect(await reader.countByRepo('default')).toEqual([{ repo: 'app', chunks: 2_500 }]);
      const size = await reader.sizeBytes('default');
      if (size !== null) expect(size).toBeGreaterThan(10_000);
    });
  });
}
