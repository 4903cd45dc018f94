import { describe, expect, test } from 'vitest';
import { row, vectorOf } from '@embergate/vector-store/conformance/samples.ts';
import { parsePathGlob } from '@embergate/vector-store/path-glob.ts';
import { parseEndpoint } from '../src/endpoint.ts';
import { firstMatching } from '../src/first-matching.ts';
import { batchesOf, pointId, pointOf, visibleRowOf } from '../src/points.ts';
import { applyQuantization } from '../src/quantization.ts';
import { createQdrantStore } from '../src/qdrant-store.ts';
import { documentVector, queryVector } from '../src/sparse-vector.ts';

describe('QDRANT_URL', () => {
  test.each([
    ['http://localhost', 'localhost', 6333, false, ''],
    ['http://localhost:80', 'localhost', 80, false, ''],
    ['http://10.0.0.7:7000/', '10.0.0.7', 7000, false, ''],
    ['https://cloud.example', 'cloud.example', 443, true, ''],
    ['https://cloud.example:6333', 'cloud.example', 6333, true, ''],
    ['https://proxy.example/vectors/qdrant/', 'proxy.example', 443, true, '/vectors/qdrant'],
    ['http://[::1]:6333', '[::1]', 6333, false, ''],
  ])('%s reaches the host, port and path it names', (url, host, port, https, prefix) => {
    expect(parseEndpoint(url)).toEqual({ host, port, https, prefix });
  });

  test.each([
    ...['localhost:6333', 'grpc://localhost:6334', '', 'http://'],
    // The client would drop these without a word.
    ...['http://me:secret@localhost:6333', 'http://localhost:6333/?api-key=secret', 'http://localhost/#x'],
  ])('"%s" stops the start', (url) => {
    expect(() => createQdrantStore({ url })).toThrow(expect.objectContaining({ code: 'config_invalid' }));
  });
});

describe('a collection that gets another quantisation', () => {
  test.each([
    [['dense'], ['dense']],
    [
      ['dense', 'second'],
      ['dense', 'second'],
    ],
  ])('keeps all of its vectors alike: %s', async (there, changed) => {
    const updates: Record<string, unknown>[] = [];
    const client = { updateCollection: async (_name: string, update: object) => updates.push({ ...update }) };
    const vectors = Object.fromEntries(there.map((name) => [name, { size: 4 }]));
    await applyQuantization(client as never, 'embergate_chunks_x', {
      wanted: 'scalar',
      config: { params: { vectors } } as never,
    });
    expect(updates).toMatchObject([
      { vectors: Object.fromEntries(changed.map((name) => [name, { on_disk: true }])) },
    ]);
  });
});

describe('points', () => {
  test('have a UUID that follows from the row id, and no two rows share one', () => {
    const ids = new Set(Array.from({ length: 10_000 }, (_, i) => pointId(`row-${i}`)));
    expect(ids.size).toBe(10_000);
    expect(pointId('row-1')).toBe(pointId('row-1'));
    expect(pointId('row-1')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test('say in which folders a row lies, and nothing of a removal that was not', () => {
    const { payload } = pointOf(row({ path: 'src/http/router.ts' }));
    expect(payload).toMatchObject({ folders: ['src', 'src/http'], addedBy: 'run-0' });
    expect(payload).not.toHaveProperty('removedBy');
    expect(payload).not.toHaveProperty('lexicalText');
  });

  test('say whether full text finds them', () => {
    for (const [changes, found] of [
      [{}, true],
      [{ lexicalText: '' }, false],
      [{ vector: null }, true],
    ] as const) {
      const point = pointOf(row(changes));
      expect(visibleRowOf(point as Parameters<typeof visibleRowOf>[0]).lexical).toBe(found);
    }
  });

  test.each([
    ['vectors of 3584 numbers', row({ vector: new Float32Array(3_584).map(() => Math.random()) })],
    ['long texts of many bytes a character', row({ text: '漢'.repeat(40_000) })],
    ['small rows', row()],
  ])('go in batches that a server takes: %s', (_, one) => {
    const rows = Array.from({ length: 700 }, () => one);
    const batches = [...batchesOf(rows)];
    expect(batches.flat()).toHaveLength(rows.length);
    for (const batch of batches) {
      const bytes = Buffer.byteLength(JSON.stringify({ points: batch.map(pointOf) }));
      expect(bytes).toBeLessThan(8 * 1024 * 1024);
    }
  });
});

describe('sparse vectors', () => {
  test('weigh a second mention less than the first, and a long text less than a short one', () => {
    const [once_, twice] = [documentVector('header other'), documentVector('header header')];
    const [one, two] = [once_.values[0] ?? 0, twice.values[0] ?? 0];
    expect(two).toBeGreaterThan(one);
    expect(two).toBeLessThan(2 * one);
    expect(documentVector(`header ${'filler '.repeat(500)}`).values[0]).toBeLessThan(one);
  });

  test('meet when the terms are equal, and nowhere else', () => {
    const document = documentVector('parse http header');
    const query = queryVector(['header', 'body']);
    expect(query.indices.filter((index) => document.indices.includes(index))).toHaveLength(1);
    for (const index of query.indices) expect(index).toBeLessThan(2 ** 32);
  });
});

describe('a glob that the server cannot evaluate', () => {
  const ranking = Array.from({ length: 10_000 }, (_, i) => ({
    path: i % 1_000 === 999 ? `${i}.py` : `${i}.ts`,
  }));

  test('is looked for down to the end of the ranking, in few requests', async () => {
    const sizes: number[] = [];
    const read = async (size: number): Promise<{ path: string }[]> => {
      sizes.push(size);
      return ranking.slice(0, size);
    };
    const found = await firstMatching(parsePathGlob('*.py'), 100, read);
    expect(found.map(({ path }) => path)).toEqual(
      ranking.filter((_, i) => i % 1_000 === 999).map(({ path }) => path),
    );
    expect(sizes).toEqual([256, 1_024, 4_096, 16_384]);
    expect(await firstMatching(parsePathGlob('*.ts'), 3, read)).toHaveLength(3);
    expect(sizes).toHaveLength(5);
  });
});

test('a vector is sent as the numbers it holds', () => {
  const vector = vectorOf(0.1, 0.2, 0.3);
  expect(Float32Array.from(JSON.parse(JSON.stringify(Array.from(vector))) as number[])).toEqual(vector);
});
