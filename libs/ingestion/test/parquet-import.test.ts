import { CHUNKS_FILE, VECTORS_FILE, type ExportedChunk } from '@embergate/contracts/chunk-export.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import { npyOf } from '@embergate/testing/npy.ts';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exportChunks } from '../src/chunk-export.ts';
import { FolderSource } from '../src/folder-source.ts';
import { VectorsSource } from '../src/vectors-source.ts';
import { COLLECTION, createRunBench, fakeVector, pythonFiles, SPACE, type RunBench } from './run-bench.ts';

const FILES = 90;
type Column = Parameters<typeof parquetWriteBuffer>[0]['columnData'][number];
type NumberType = 'FLOAT' | 'DOUBLE' | 'FLOAT16';

/** What pandas or pyarrow write: the columns of chunks.jsonl, and a list of numbers a row. */
function parquetOf(
  chunks: readonly ExportedChunk[],
  vectors: readonly ArrayLike<number>[],
  { type = 'FLOAT', rowGroupSize = 40, drop = '', name = 'embedding' }: ParquetOptions = {},
): Buffer {
  const text = (column: keyof ExportedChunk): Column => ({
    name: column,
    data: chunks.map((chunk) => chunk[column] as string),
    type: 'STRING',
  });
  const line = (column: 'startLine' | 'endLine'): Column => ({
    name: column,
    data: chunks.map((chunk) => BigInt(chunk[column])),
    type: 'INT64',
  });
  const texts = ['path', 'language', 'symbol', 'text', 'embeddedText', 'embeddedHash'] as const;
  const flat = [...texts.map(text), line('startLine'), line('endLine')].filter((one) => one.name !== drop);
  const flatSchema = flat.map(({ name: column, type: kind }) =>
    kind === 'INT64'
      ? { name: column, type: 'INT64' as const, repetition_type: 'OPTIONAL' as const }
      : {
          name: column,
          type: 'BYTE_ARRAY' as const,
          converted_type: 'UTF8' as const,
          repetition_type: 'OPTIONAL' as const,
        },
  );
  const element = {
    name: 'element',
    repetition_type: 'OPTIONAL' as const,
    ...(type === 'FLOAT16'
      ? { type: 'FIXED_LEN_BYTE_ARRAY' as const, type_length: 2, logical_type: { type: 'FLOAT16' as const } }
      : { type }),
  };
  return Buffer.from(
    parquetWriteBuffer({
      columnData: [
        ...flat.map(({ name: column, data }) => ({ name: column, data })),
        { name, data: vectors.map((vector) => Array.from(vector)) },
      ],
      schema: [
        { name: 'root', num_children: flat.length + 1 },
        ...flatSchema,
        { name, repetition_type: 'OPTIONAL', num_children: 1, converted_type: 'LIST' },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        element,
      ],
      rowGroupSize,
    }),
  );
}
interface ParquetOptions {
  type?: NumberType;
  rowGroupSize?: number;
  /** A column that is left out. */
  drop?: string;
  /** Of the column of vectors. */
  name?: string;
}

describe('a notebook’s .parquet', () => {
  let bench: RunBench;
  let folder: string;
  let out: string;
  let chunks: ExportedChunk[];
  let vectors: Float32Array[];

  beforeEach(async () => {
    bench = await createRunBench(pythonFiles(FILES));
    folder = await mkdtemp(join(tmpdir(), 'embergate-parquet-'));
    out = join(folder, 'export');
    const described = {
      space: SPACE,
      spaceId: spaceId(SPACE),
      hub: null,
      maxTokens: 99,
      repo: 'r',
      commit: null,
    };
    await exportChunks(await FolderSource.open(bench.tree.root, bench.chunker), {
      out,
      description: described,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    const lines = (await readFile(join(out, CHUNKS_FILE), 'utf8')).trimEnd().split('\n');
    chunks = lines.map((line) => JSON.parse(line) as ExportedChunk);
    vectors = chunks.map(({ embeddedText }) => fakeVector(embeddedText));
  });
  afterEach(async () => {
    await bench.remove();
    await rm(folder, { recursive: true, force: true });
  });

  const file = (): string => join(out, 'embedded.parquet');
  const bring = (runId: string, path = out): Promise<void> =>
    bench.run(runId, {
      openSource: () => VectorsSource.open(path, { declared: spaceId(SPACE), space: SPACE }),
    });
  async function readAll(): Promise<void> {
    const source = await VectorsSource.open(out, { declared: spaceId(SPACE), space: SPACE });
    try {
      let left = 0;
      for await (const page of source.read()) left += page.chunks.length;
      expect(left).toBe(FILES);
    } finally {
      await source.close();
    }
  }
  const refused = (message: RegExp): Promise<void> =>
    expect(bring('bad')).rejects.toMatchObject({
      code: 'vectors_invalid',
      message: expect.stringMatching(message) as string,
    });

  it.each([
    ['float32', 'FLOAT', 6],
    ['float64', 'DOUBLE', 6],
    ['float16', 'FLOAT16', 2],
  ] as const)('of %s becomes the rows that an index run makes', async (_name, type, digits) => {
    await writeFile(file(), parquetOf(chunks, vectors, { type }));
    await bring('r1');
    expect(bench.embedded).toEqual([]);
    await bench.run('r2', { collection: 'other' });
    const ids = async (collection: string) => (await bench.rows(collection)).map(({ id }) => id);
    expect(await ids(COLLECTION)).toEqual(await ids('other'));
    const hashes = chunks.slice(0, 20).map(({ embeddedHash }) => embeddedHash);
    const found = await bench.store.vectorsByHash(COLLECTION, hashes);
    for (const [at, hash] of hashes.entries())
      for (const [n, value] of (vectors[at] ?? []).entries())
        expect(found.get(hash)?.vector[n]).toBeCloseTo(value, digits);
  });

  it('may be named itself, and its column of vectors be called "vector"', async () => {
    await writeFile(file(), parquetOf(chunks, vectors, { name: 'vector' }));
    await writeFile(join(out, VECTORS_FILE), npyOf(vectors));
    await refused(/holds embedded.parquet and vectors.npy: name the file/);
    await bring('r1', file());
    expect(await bench.visibleCount()).toBe(FILES);
  });

  it('without a column, with vectors of another model, or with other chunks than it says, is refused', async () => {
    await writeFile(file(), parquetOf(chunks, vectors, { drop: 'embeddedHash' }));
    await refused(/embedded.parquet cannot be read: it has no column embeddedHash/);
    await writeFile(
      file(),
      parquetOf(
        chunks,
        vectors.map((vector) => vector.slice(1)),
      ),
    );
    await refused(/row 0 of row group 0 has 7 dimensions, the space has 8/);
    const spoilt = vectors.map((vector, at) => (at === 77 ? vector.map(() => NaN) : vector));
    await writeFile(file(), parquetOf(chunks, spoilt));
    await refused(/embedded.parquet, row 77: a number is not finite/);
    await writeFile(file(), parquetOf(chunks.slice(1), vectors.slice(1)));
    await refused(/embedded.parquet has 89 chunks, embedding.json says 90/);
    const other = chunks.map((chunk, at) => (at === 3 ? { ...chunk, embeddedText: 'x' } : chunk));
    await writeFile(file(), parquetOf(other, vectors));
    await refused(/row 3: embeddedHash is not the sha256/);
    expect(await bench.visibleCount()).toBe(0);
  });

  it('that is cut off, damaged or no Parquet at all is refused, wherever it is hurt', async () => {
    const whole = parquetOf(chunks, vectors);
    await writeFile(file(), 'PAR1');
    await refused(/too short/);
    await writeFile(file(), whole);
    await truncate(file(), whole.length - 9);
    await refused(/no Parquet file, or not all of one/);
    await writeFile(file(), Buffer.concat([whole.subarray(0, -8), Buffer.from('ffffff7f50415231', 'hex')]));
    await refused(/footer is longer/);
    // Somewhere in pages, headers and footer: an error of ours, or the same rows, and never another end.
    for (let at = 5; at < whole.length - 8; at += Math.ceil(whole.length / 40)) {
      const hurt = Buffer.from(whole);
      hurt[at] = (hurt[at] ?? 0) ^ 0xff;
      await writeFile(file(), hurt);
      const ended = await readAll().catch((error: unknown) => error);
      if (ended !== undefined) expect(ended).toMatchObject({ code: 'vectors_invalid' });
    }
  });
});
