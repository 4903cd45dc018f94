import {
  CHUNKS_FILE,
  EXPORT_FILE,
  VECTORS_FILE,
  type ChunkExport,
  type ExportedChunk,
} from '@embergate/contracts/chunk-export.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import { npyOf } from '@embergate/testing/npy.ts';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exportChunks } from '../src/chunk-export.ts';
import { FolderSource } from '../src/folder-source.ts';
import { embeddedHash } from '../src/hash.ts';
import { VectorsSource } from '../src/vectors-source.ts';
import {
  COLLECTION,
  createRunBench,
  fakeVector,
  pythonFile,
  pythonFiles,
  SPACE,
  type RunBench,
} from './run-bench.ts';

const FILES = 300;

describe('chunks that were exported and embedded elsewhere', () => {
  let bench: RunBench;
  let folder: string;
  let out: string;

  beforeEach(async () => {
    bench = await createRunBench(pythonFiles(FILES));
    folder = await mkdtemp(join(tmpdir(), 'embergate-export-'));
    out = join(folder, 'export');
    await exportTree();
    await embed();
  });
  afterEach(async () => {
    await bench.remove();
    await rm(folder, { recursive: true, force: true });
  });

  const file = (name: string): string => join(out, name);
  async function exportTree(): Promise<void> {
    await exportChunks(await FolderSource.open(bench.tree.root, bench.chunker), {
      out,
      description: {
        space: SPACE,
        spaceId: spaceId(SPACE),
        hub: null,
        maxTokens: 99,
        repo: 'r',
        commit: null,
      },
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
  }
  async function chunks(): Promise<ExportedChunk[]> {
    const text = await readFile(file(CHUNKS_FILE), 'utf8');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as ExportedChunk);
  }
  async function embed(change: (vectors: Float32Array[]) => void = () => undefined): Promise<void> {
    const vectors = (await chunks()).map(({ embeddedText }) => fakeVector(embeddedText));
    change(vectors);
    await writeFile(file(VECTORS_FILE), npyOf(vectors));
  }
  /** Line 7 of chunks.jsonl becomes another one. */
  async function changeLine7(change: (chunk: ExportedChunk) => unknown): Promise<void> {
    const lines = (await readFile(file(CHUNKS_FILE), 'utf8')).split('\n');
    const changed = change(JSON.parse(lines[6] ?? '') as ExportedChunk);
    lines[6] = typeof changed === 'string' ? changed : JSON.stringify(changed);
    await writeFile(file(CHUNKS_FILE), lines.join('\n'));
  }
  const bring = (runId: string, options: Partial<Parameters<RunBench['run']>[1]> = {}): Promise<void> =>
    bench.run(runId, {
      openSource: () => VectorsSource.open(out, { declared: spaceId(SPACE), space: SPACE }),
      ...options,
    });
  async function refused(message: RegExp, code = 'vectors_invalid'): Promise<void> {
    await expect(bring('bad')).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect(await bench.visibleCount()).toBe(0);
  }

  it('become the rows that an index run makes, without the model', async () => {
    await bring('r1');
    expect(bench.embedded).toEqual([]);
    await bench.run('r2', { collection: 'other' });
    expect(bench.embedded).toHaveLength(FILES);
    const ids = async (collection: string) => (await bench.rows(collection)).map(({ id }) => id);
    expect(await ids(COLLECTION)).toEqual(await ids('other'));
    const [mine, theirs] = await Promise.all(
      [COLLECTION, 'other'].map((name) => bench.store.vectorsByHash(name, [embeddedHash('x'), ...hashes])),
    );
    expect(mine?.size).toBe(hashes.length);
    expect(mine).toEqual(theirs);
  });
  let hashes: string[] = [];
  beforeEach(async () => {
    hashes = (await chunks()).slice(0, 20).map((chunk) => chunk.embeddedHash);
  });

  it('are what the next index run of the folder copies: only what is new is embedded', async () => {
    await bring('r1');
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await bench.run('r2');
    expect(bench.embedded).toHaveLength(1);
    expect(await bench.visibleCount()).toBe(FILES + 1);
  });

  it('replace vectors that are there in full mode only', async () => {
    await bench.run('r1');
    await embed((vectors) => vectors.forEach((vector) => vector.reverse()));
    const vectorOf = async () => [
      ...((await bench.store.vectorsByHash(COLLECTION, hashes.slice(0, 1))).values().next().value?.vector ??
        []),
    ];
    const before = await vectorOf();
    await bring('r2');
    expect(await vectorOf()).toEqual(before);
    await bring('r3', { mode: 'full' });
    await bench.store.deleteRows(COLLECTION, { removedBy: 'r3' });
    expect(await vectorOf()).toEqual([...before].reverse());
  });

  it('go on after an import that was killed, under the same run', async () => {
    await bench.runUntilPublishing('r1', {
      openSource: () => VectorsSource.open(out, { declared: spaceId(SPACE), space: SPACE }),
    });
    expect(await bench.visibleCount()).toBe(0);
    await bring('r1');
    expect(await bench.visibleCount()).toBe(FILES);
    expect(await bench.states()).toEqual({ r1: 'committed' });
  });

  it('write all rows again when they go on: the files may be others by then', async () => {
    await bench.runUntilPublishing('r1', {
      openSource: () => VectorsSource.open(out, { declared: spaceId(SPACE), space: SPACE }),
    });
    await embed((vectors) => vectors.forEach((vector) => vector.reverse()));
    await bring('r1');
    const found = await bench.store.vectorsByHash(COLLECTION, hashes.slice(0, 1));
    const [first] = await chunks();
    expect([...(found.get(hashes[0] ?? '')?.vector ?? [])]).toEqual([
      ...fakeVector(first?.embeddedText ?? '').reverse(),
    ]);
    expect(await bench.visibleCount()).toBe(FILES);
  });

  it('may be float16', async () => {
    const vectors = (await chunks()).map(({ embeddedText }) => fakeVector(embeddedText));
    await writeFile(file(VECTORS_FILE), npyOf(vectors, { descr: '<f2' }));
    await bring('r1');
    const found = await bench.store.vectorsByHash(COLLECTION, hashes);
    for (const [at, hash] of hashes.entries())
      expect(
        found.get(hash)?.vector.every((value, n) => Math.abs(value - (vectors[at]?.[n] ?? 9)) < 4e-4),
      ).toBe(true);
  });

  it.each([
    ['NaN', NaN, /row 6 \(line 7 .*not finite/],
    ['infinity', -Infinity, /row 6 \(line 7 .*not finite/],
    ['a wrong length', 0.5, /row 6 \(line 7 .*length is/],
  ])('are refused for %s, naming row and line', async (_what, value, message) => {
    await embed((vectors) => vectors[6]?.set([value, 1]));
    await refused(message);
  });

  it.each<[string, (chunk: ExportedChunk) => unknown, RegExp]>([
    ['a line that is no JSON', () => '{"path": ', /line 7: not JSON/],
    ['an empty line', () => '', /line 7: not JSON/],
    ['another text than was hashed', (chunk) => ({ ...chunk, embeddedText: 'x' }), /line 7: embeddedHash/],
    ['a way out of the repo', (chunk) => ({ ...chunk, path: '../../etc/passwd' }), /line 7: path/],
    ['an absolute path', (chunk) => ({ ...chunk, path: '/etc/passwd' }), /line 7: path/],
    ['lines backwards', (chunk) => ({ ...chunk, startLine: 9, endLine: 2 }), /line 7: endLine/],
    ['more text than lines', (chunk) => ({ ...chunk, endLine: 1 }), /line 7: text has more lines/],
    ['line 0', (chunk) => ({ ...chunk, startLine: 0 }), /line 7: startLine/],
    ['a text without end', (chunk) => ({ ...chunk, text: 'x'.repeat(3e5) }), /line 7: text/],
    ['a line without end', () => `"${'x'.repeat(5e6)}"`, /line 7: longer/],
  ])('are refused for %s', async (_what, change, message) => {
    await changeLine7(change);
    await refused(message);
  });

  it('are refused where a chunk is there twice', async () => {
    const lines = (await readFile(file(CHUNKS_FILE), 'utf8')).split('\n');
    lines[7] = lines[6] ?? '';
    await writeFile(file(CHUNKS_FILE), lines.join('\n'));
    await embed();
    await refused(/f0006\.py:1 is there twice/);
  });

  it('are refused where lines and rows differ, or the export says another number', async () => {
    await embed((vectors) => vectors.pop());
    await refused(/300 lines and vectors.npy 299 rows/);
    const lines = (await readFile(file(CHUNKS_FILE), 'utf8')).split('\n');
    await writeFile(file(CHUNKS_FILE), lines.slice(1).join('\n'));
    await embed();
    await refused(/299 chunks, embedding.json says 300/);
  });

  it.each([
    ['Fortran order', "{'descr': '<f4', 'fortran_order': True, 'shape': (300, 8), }", /Fortran/],
    ['doubles', "{'descr': '<f8', 'fortran_order': False, 'shape': (300, 8), }", /float32 or float16/],
    ['pickled objects', "{'descr': '|O', 'fortran_order': False, 'shape': (300, 8), }", /float32 or float16/],
    [
      'a record type',
      "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (300, 8), }",
      /no plain matrix/,
    ],
    ['one dimension', "{'descr': '<f4', 'fortran_order': False, 'shape': (2400,), }", /1 dimensions/],
    [
      'a shape beyond all',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 8), }",
      /no file/,
    ],
    [
      'a huge shape',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (9007199254740991, 8), }",
      /needs 288230376151711\d+/,
    ],
    ['another dimension', "{'descr': '<f4', 'fortran_order': False, 'shape': (600, 4), }", /4 dimensions/],
    ['code', "{'descr': __import__('os'), 'fortran_order': False, 'shape': (300, 8), }", /no plain matrix/],
    ['nothing', '', /no plain matrix/],
  ])('are refused where the .npy header says %s', async (_what, header, message) => {
    const vectors = (await chunks()).map(({ embeddedText }) => fakeVector(embeddedText));
    await writeFile(file(VECTORS_FILE), npyOf(vectors, { header }));
    await refused(message);
  });

  it('are refused where vectors.npy is cut off, anywhere', async () => {
    const { length } = await readFile(file(VECTORS_FILE));
    await truncate(file(VECTORS_FILE), length - 1);
    await refused(/has 9727 bytes where its shape, 300 x 8, needs 9728/);
    await truncate(file(VECTORS_FILE), 60);
    await refused(/within its header/);
    await truncate(file(VECTORS_FILE), 7);
    await refused(/no .npy file/);
  });

  it('are refused where a file is a link out of the folder, a pipe, or missing', async () => {
    await rename(file(VECTORS_FILE), join(folder, 'elsewhere.npy'));
    await refused(/There is no vectors.npy/, 'source_not_found');
    await symlink(join(folder, 'elsewhere.npy'), file(VECTORS_FILE));
    await refused(/not a regular file/);
    await rm(file(VECTORS_FILE));
    execFileSync('mkfifo', [file(VECTORS_FILE)]);
    await refused(/not a regular file/);
  });

  it('are refused where the declared space, or the one they were exported for, is another', async () => {
    const open = () => VectorsSource.open(out, { declared: 'fake@00000000', space: SPACE });
    await expect(bring('bad', { openSource: open })).rejects.toMatchObject({ code: 'space_mismatch' });
    const described = JSON.parse(await readFile(file(EXPORT_FILE), 'utf8')) as ChunkExport;
    described.space.pooling = 'last';
    await writeFile(file(EXPORT_FILE), JSON.stringify(described));
    await refused(/spaceId is/);
    described.spaceId = spaceId(described.space);
    await writeFile(file(EXPORT_FILE), JSON.stringify(described));
    await refused(/are of fake@/, 'space_mismatch');
  });

  it('are not published where a file is written to meanwhile', async () => {
    const source = await VectorsSource.open(out, { declared: spaceId(SPACE), space: SPACE });
    await source.expectUnchanged();
    await embed((vectors) => vectors.reverse());
    await expect(source.expectUnchanged()).rejects.toMatchObject({ code: 'source_not_found' });
    await source.close();
  });

  it('are written in one step, and never over something else', async () => {
    await expect(exportTree()).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/vectors.npy/),
    });
    await rm(file(VECTORS_FILE));
    await bench.tree.write({ 'src/new.py': pythonFile('fresh') });
    await exportTree();
    expect(await chunks()).toHaveLength(FILES + 1);
    await rm(file(EXPORT_FILE));
    await expect(exportTree()).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/not empty/),
    });
    expect(await readdir(folder)).toEqual(['export']);
  });
});
