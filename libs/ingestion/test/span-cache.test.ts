import { mkdtemp, open as openFile, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Parser } from 'web-tree-sitter';
import { createChunker, type Chunk, type ChunkerOptions } from '../src/chunk.ts';
import { SpanCache } from '../src/span-cache.ts';

const FIXTURES = join(import.meta.dirname, 'fixtures');
const FILE = {
  path: 'retry.py',
  text: 'def retry(times):\n    return times\n\n\nclass Backoff:\n    limit = 3\n',
};
/** More than are written at a time. */
const MANY = Array.from({ length: 600 }, (_, n) => ({
  path: 'a.py',
  text: `def f${n}():\n    return ${n}\n`,
}));
const DAY_MS = 86_400_000;

let folder: string;
let file: string;
let failures: unknown[];
let now: number;
const parse = vi.spyOn(Parser.prototype, 'parse');

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'embergate-spans-'));
  file = join(folder, 'data', 'spans.sqlite');
  failures = [];
  now = Date.now();
  parse.mockClear();
});
afterEach(() => rm(folder, { recursive: true }));

const open = (): SpanCache =>
  SpanCache.open(file, { onFailure: (error) => failures.push(error), now: () => now });

const PAGE_BYTES = 4_096;

async function overwriteAllButTheFirstPage(path: string): Promise<void> {
  const handle = await openFile(path, 'r+');
  await handle.write(Buffer.alloc((await handle.stat()).size - PAGE_BYTES, 'x'), 0, null, PAGE_BYTES);
  await handle.close();
}

/** In a process of its own, as far as the cache can tell: opened before and closed after. */
async function cut(
  files: { path: string; text: string }[],
  options: ChunkerOptions = {},
): Promise<Chunk[][]> {
  const cache = open();
  const chunker = await createChunker({ cache, ...options });
  try {
    const chunks: Chunk[][] = [];
    for (const one of files) chunks.push(await chunker.chunk(one));
    return chunks;
  } finally {
    chunker.close();
    cache.close();
  }
}

const fixtures = async (): Promise<{ path: string; text: string }[]> =>
  Promise.all(
    (await readdir(FIXTURES)).map(async (path) => ({
      path,
      text: await readFile(join(FIXTURES, path), 'utf8'),
    })),
  );

describe('a file that has been cut before', () => {
  test('is not parsed again, and gives the same chunks, in every language and after a restart', async () => {
    const files = await fixtures();
    const chunker = await createChunker({ maxChars: 360 });
    const fresh = await Promise.all(files.map((one) => chunker.chunk(one)));
    chunker.close();
    expect(await cut(files, { maxChars: 360 })).toEqual(fresh);
    expect(parse).toHaveBeenCalled();
    parse.mockClear();
    expect(await cut(files, { maxChars: 360 })).toEqual(fresh);
    expect(parse).not.toHaveBeenCalled();
    expect(failures).toEqual([]);
  });

  test('is not parsed again by the same process either, which has not written it yet', async () => {
    await cut([FILE, FILE]);
    expect(parse).toHaveBeenCalledTimes(1);
  });

  test('is not parsed again under another name', async () => {
    await cut([FILE, { ...FILE, path: 'moved/again.py' }]);
    expect(parse).toHaveBeenCalledTimes(1);
  });

  test.each([
    ['its text is another one', { text: `${FILE.text}\n` }, {}],
    ['it is of another language', { path: 'retry.rb' }, {}],
    ['chunks may be longer', {}, { maxChars: 1_500 }],
  ])('is parsed again where %s', async (_why, change, options) => {
    await cut([FILE]);
    await cut([{ ...FILE, ...change }], options);
    expect(parse).toHaveBeenCalledTimes(2);
  });

  test('is parsed again where nobody has asked for it for long', async () => {
    const other = { path: 'other.py', text: 'def other():\n    return 1\n' };
    await cut([FILE, other]);
    now += 20 * DAY_MS;
    await cut([FILE]);
    now += 20 * DAY_MS;
    parse.mockClear();
    await cut([FILE]);
    expect(parse).not.toHaveBeenCalled();
    await cut([other]);
    expect(parse).toHaveBeenCalledTimes(1);
  });
});

describe('a cache that cannot be used', () => {
  test('is made anew where its file is something else', async () => {
    await cut([FILE]);
    await writeFile(file, 'this is no database, and has not been one for long enough to notice');
    expect((await cut([FILE]))[0]).toHaveLength(1);
    expect(parse).toHaveBeenCalledTimes(2);
    await cut([FILE]);
    expect(parse).toHaveBeenCalledTimes(2);
    expect(failures).toEqual([]);
  });

  test('stops nothing where it breaks while it is used, and is gone afterwards', async () => {
    const fresh = await cut(MANY);
    await overwriteAllButTheFirstPage(file);
    expect(await cut(MANY)).toEqual(fresh);
    expect(failures).toHaveLength(1);
    await expect(stat(file)).rejects.toThrow('ENOENT');
    failures = [];
    expect(await cut(MANY)).toEqual(fresh);
    expect(failures).toEqual([]);
  });

  test('stops nothing where there is no place for it', async () => {
    await writeFile(join(folder, 'data'), 'a file where its folder should be');
    expect((await cut([FILE]))[0]).toHaveLength(1);
    expect(failures).toHaveLength(1);
  });
});

test('an indexer that another one keeps from writing goes on, and leaves the file to it', async () => {
  await cut([FILE]);
  const other = new DatabaseSync(file);
  other.exec('BEGIN EXCLUSIVE');
  const late = { path: 'late.py', text: 'def late():\n    return 1\n' };
  expect(await cut([FILE, late])).toHaveLength(2);
  other.exec('COMMIT');
  other.close();
  parse.mockClear();
  await cut([FILE]);
  expect(parse).not.toHaveBeenCalled();
});

test('an indexer that runs for months forgets, too', async () => {
  const cache = open();
  const chunker = await createChunker({ cache });
  await chunker.chunk(FILE);
  cache.flush();
  now += 40 * DAY_MS;
  await chunker.chunk({ path: 'new.py', text: 'def new():\n    return 1\n' });
  cache.flush();
  parse.mockClear();
  await chunker.chunk(FILE);
  expect(parse).toHaveBeenCalledTimes(1);
  chunker.close();
  cache.close();
});

test('two indexers use one cache at the same time', async () => {
  const [one, other] = [open(), open()];
  const chunkers = [await createChunker({ cache: one }), await createChunker({ cache: other })];
  for (const file of MANY) for (const chunker of chunkers) expect(await chunker.chunk(file)).toHaveLength(1);
  for (const chunker of chunkers) chunker.close();
  for (const cache of [one, other]) cache.close();
  parse.mockClear();
  await cut(MANY);
  expect(parse).not.toHaveBeenCalled();
  expect(failures).toEqual([]);
});
