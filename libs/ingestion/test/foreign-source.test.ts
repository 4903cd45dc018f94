import type { QdrantSource } from '@embergate/contracts/adoption.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import { foreignInMemory, type MemoryCollection } from '@embergate/testing/foreign-memory.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { foreignChunk } from '../src/foreign-chunks.ts';
import { guessFields, seenFields } from '../src/foreign-fields.ts';
import { ForeignSource } from '../src/foreign-source.ts';
import { moveCollection } from '../src/move-collection.ts';
import { COLLECTION, createRunBench, fakeEmbedding, fakeVector, SPACE, type RunBench } from './run-bench.ts';

describe('payload fields of somebody else', () => {
  const guess = (...payloads: Record<string, unknown>[]): object => guessFields(seenFields(payloads), {});

  it('are found by their usual names, wherever they lie', () => {
    expect(
      guess({
        page_content: 'def f(): pass',
        metadata: {
          source: 'src/f.py',
          lang: 'python',
          start_line: 3,
          endLine: 9,
          repository: 'r',
          size: 12,
        },
      }),
    ).toEqual({
      text: 'page_content',
      path: 'metadata.source',
      language: 'metadata.lang',
      startLine: 'metadata.start_line',
      endLine: 'metadata.endLine',
      repo: 'metadata.repository',
    });
  });

  it('are no guess where the type is wrong, or few points have them', () => {
    expect(guess({ text: 'a', path: 7 }, { text: 'b' }, { text: 'c', repo: 'x' })).toEqual({ text: 'text' });
  });

  it('hold the text in the longest one where none is called so', () => {
    expect(guess({ body_md: 'x'.repeat(100), note: 'y'.repeat(90) })).toEqual({ text: 'body_md' });
    expect(guess({ note: 'short' })).toEqual({});
  });

  it('are taken as they are told, and left out where they are told so', () => {
    const seen = seenFields([{ text: 'a', name: 'n', path: 'p', file: 'q' }]);
    expect(guessFields(seen, { path: 'file', symbol: '' })).toEqual({ text: 'text', path: 'file' });
  });
});

describe('a point of somebody else', () => {
  const fields = { text: 'text', path: 'path', language: 'lang', startLine: 'from', endLine: 'to' };
  const chunk = (payload: Record<string, unknown>) => foreignChunk({ id: 5, payload }, fields);

  it('is a chunk with what its payload says', () => {
    expect(chunk({ text: 'a\nb\n', path: 'src/x.go', lang: 'Go', from: 4, to: 9 })).toEqual({
      ...{ path: 'src/x.go', language: 'go', symbol: '' },
      ...{ startLine: 4, endLine: 9, text: 'a\nb\n' },
    });
  });

  it('has a file, a language and lines where nothing says them', () => {
    expect(chunk({ text: 'a\nb\nc' })).toMatchObject({
      ...{ path: 'point-5', language: 'text', startLine: 1, endLine: 3 },
    });
    expect(chunk({ text: 'x', path: 'lib/x.py', from: -1, to: 'y' })).toMatchObject({
      ...{ language: 'python', startLine: 1, endLine: 1 },
    });
  });

  it.each([
    ['/home/me/x.py', 'home/me/x.py'],
    ['..\\..\\etc\\passwd', 'etc/passwd'],
    ['https://host/a/b.py', 'host/a/b.py'],
    ['./a//b.py', 'a/b.py'],
    ['..', 'point-5'],
  ])('has no way out of its repo: %s', (path, cleaned) => {
    expect(chunk({ text: 'x', path })).toMatchObject({ path: cleaned });
  });

  it('is left out without a text, and with one that is no chunk', () => {
    for (const payload of [{}, { text: ' ' }, { text: 7 }, { text: 'x'.repeat(300_000) }]) {
      expect(chunk(payload)).toMatchObject({ path: 'point 5', reason: expect.any(String) as string });
    }
  });
});

describe('a collection that another program filled', () => {
  const texts = Array.from({ length: 30 }, (_, at) => `def handler_${at}(request):\n    return ${at}\n`);
  let remote: MemoryCollection;
  let bench: RunBench;

  beforeEach(async () => {
    bench = await createRunBench({});
    remote = {
      vectors: [{ name: '', dimensions: SPACE.dimensions, distance: 'Cosine', datatype: 'float32' }],
      points: texts.map((text, at) => ({
        id: at,
        payload: { text, path: `src/${at}.py`, ...(at < 20 && { repo: at % 2 === 0 ? 'even' : 'odd' }) },
        // Not what our model makes of the text alone.
        vector: fakeVector(`their head ${text}`),
      })),
    };
  });
  afterEach(() => bench.remove());

  const source = (change: Partial<QdrantSource> = {}): QdrantSource => ({
    ...{ type: 'qdrant', collection: 'theirs', vector: '', defaultRepo: 'rest', lexical: true },
    ...{ fields: { text: 'text', path: 'path', repo: 'repo' }, space: spaceId(SPACE) },
    ...change,
  });
  async function adopt(runId: string, repo: string, change: Partial<QdrantSource> = {}): Promise<void> {
    const foreign = foreignInMemory({ theirs: remote });
    const openSource = () => ForeignSource.open(source(change), { foreign, repo, space: SPACE });
    await bench.run(runId, { repo, openSource });
  }
  const found = (text: string) =>
    bench.store.searchDense(COLLECTION, fakeVector(`their head ${text}`), { limit: 1, filter: {} });

  it('is found by its own vectors, by words and by repo, and nothing was embedded', async () => {
    for (const repo of ['even', 'odd', 'rest']) await adopt(repo, repo);
    expect(await bench.store.countByRepo(COLLECTION)).toEqual([
      { repo: 'even', chunks: 10 },
      { repo: 'odd', chunks: 10 },
      { repo: 'rest', chunks: 10 },
    ]);
    for (const at of [0, 7, 29]) {
      const [best] = await found(texts[at] ?? '');
      expect(best).toMatchObject({ path: `src/${at}.py`, language: 'python', text: texts[at] });
      expect(best?.score).toBeCloseTo(1, 5);
    }
    const [byWord] = await bench.store.searchLexical(COLLECTION, lexicalText('handler_11'), {
      ...{ limit: 1, filter: { repo: ['odd'] } },
    });
    expect(byWord).toMatchObject({ path: 'src/11.py', repo: 'odd' });
    expect(bench.embedded).toEqual([]);
  });

  it('is caught up with by another run: what is there stays, what changed is another chunk', async () => {
    await adopt('one', 'rest');
    const before = await bench.store.countByRepo(COLLECTION);
    remote.points[25] = { ...(remote.points[25] as (typeof remote.points)[0]), vector: fakeVector('anew') };
    remote.points.splice(29, 1);
    await adopt('two', 'rest');
    expect(before).toEqual([{ repo: 'rest', chunks: 10 }]);
    expect(await bench.store.countByRepo(COLLECTION)).toEqual([{ repo: 'rest', chunks: 9 }]);
    const rows = [];
    for await (const page of bench.store.stamps(COLLECTION, 'rest')) rows.push(...page);
    expect(rows.filter(({ addedBy }) => addedBy === 'two')).toHaveLength(1);
  });

  it('without its words is found by vectors only', async () => {
    await adopt('one', 'rest', { lexical: false });
    const search = { limit: 5, filter: {} };
    expect(await bench.store.searchLexical(COLLECTION, lexicalText('handler'), search)).toEqual([]);
    expect(await found(texts[29] ?? '')).toHaveLength(1);
    // And so it is when its collection has moved.
    await moveCollection(
      { store: bench.store, first: fakeEmbedding(SPACE, () => undefined), second: null },
      {
        moveId: 'move-1',
        collection: COLLECTION,
        signal: new AbortController().signal,
        onProgress: () => undefined,
      },
    );
    expect(await bench.store.searchLexical(COLLECTION, lexicalText('handler'), search)).toEqual([]);
    expect(await found(texts[29] ?? '')).toHaveLength(1);
    await adopt('two', 'rest');
    expect(await bench.store.searchLexical(COLLECTION, lexicalText('handler'), search)).toHaveLength(5);
  });

  it('loses no point silently: one without vector or text is named', async () => {
    remote.points[21] = { id: 21, payload: { text: 'x' }, vector: null };
    remote.points[22] = { id: 22, payload: { path: 'x' }, vector: fakeVector('x') };
    let skipped: string[] = [];
    const foreign = foreignInMemory({ theirs: remote });
    await bench.run('one', {
      repo: 'rest',
      openSource: () => ForeignSource.open(source(), { foreign, repo: 'rest', space: SPACE }),
      onProgress: (_progress, files) => (skipped = files.map(({ path }) => path)),
    });
    expect(skipped).toEqual(['point 21', 'point 22']);
  });

  it.each([
    ['space_mismatch', 'another space', { space: 'other@12345678' }, {}],
    ['space_mismatch', 'other dimensions', {}, { dimensions: 12 }],
    ['vectors_invalid', 'no such vector', { vector: 'code' }, {}],
    ['vectors_invalid', 'whole numbers', {}, { datatype: 'uint8' }],
    ['source_not_found', 'no such collection', { collection: 'nobodys' }, {}],
  ])('is refused with %s: %s', async (code, _why, change, vector) => {
    remote.vectors = remote.vectors.map((one) => ({ ...one, ...vector }));
    await expect(adopt('one', 'rest', change)).rejects.toMatchObject({ code });
  });

  it('is refused where a vector is not of length 1, and the point is named', async () => {
    remote.points[28] = {
      ...(remote.points[28] as (typeof remote.points)[0]),
      vector: fakeVector('x').map((value) => 3 * value),
    };
    await expect(adopt('one', 'rest')).rejects.toMatchObject({
      code: 'vectors_invalid',
      message: expect.stringContaining('point 28') as string,
    });
    expect(await bench.visibleCount()).toBe(0);
  });
});
