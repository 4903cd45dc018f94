import { searchRequestSchema, type SearchAsk } from '@embergate/contracts/http-search.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { createLanceDbStore } from '@embergate/vector-store-lancedb/lancedb-store.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import type { ChunkRow, VectorStore } from '@embergate/vector-store/store.ts';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { search } from '../src/search.ts';

const space: EmbeddingSpace = {
  model: 'a-model',
  revision: 'a-commit',
  dimensions: 2,
  pooling: 'mean',
  normalize: true,
  prompts: { query: '', document: '' },
};
const BRANCHES = 12;
const TEXTS = 30;

/** The same thirty functions, indexed once for each of twelve branches. */
function rowsOf(branch: number): ChunkRow[] {
  return Array.from({ length: TEXTS }, (_, index) => {
    const text = `retry number ${index}\nand ${index} more`;
    const angle = index / TEXTS;
    return {
      id: `${branch}-${index}`,
      repo: `branch${branch}`,
      path: `f${index}.ts`,
      language: 'typescript',
      symbol: '',
      startLine: 1,
      endLine: 2,
      text,
      embeddedHash: String(index),
      lexicalText: lexicalText(text),
      addedBy: 'a-run',
      removedBy: null,
      vector: Float32Array.of(Math.cos(angle), Math.sin(angle)),
      secondVector: null,
    };
  });
}

let folder: string;
let store: VectorStore;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'search-limit-'));
  store = await createLanceDbStore({ path: folder });
  await store.ensureCollection('default', space);
  for (let branch = 0; branch < BRANCHES; branch++) await store.upsertRows('default', rowsOf(branch));
  await store.optimize('default');
});
afterAll(async () => {
  await store?.close();
  await rm(folder, { recursive: true, force: true });
});

/** The model is not what this is about: every query is as near as can be to the first function. */
const embedder = {
  serves: () => true,
  embedQuery: () =>
    Promise.resolve({
      vector: Float32Array.of(1, 0),
      report: {
        model: 'a-model',
        space: 'a-space',
        variant: 'fp32',
        tier: 'cpu',
        device: 'cpu',
        degraded: false,
        reason: null,
        cached: false,
        predictedMs: null,
        tookMs: 0,
      },
      timingsMs: { admission: 0, queue: 0, tokenize: 0, inference: 0 },
      warnings: [],
    }),
};
const resultsOf = async (request: SearchAsk) => {
  const parts = { store, embedder, defaults: { deadlineMs: 60_000, degradation: 'allow' as const } };
  return (await search(parts, searchRequestSchema.parse(request))).results;
};

test.each(['dense', 'lexical', 'hybrid'] as const)(
  'a %s search fills its limit though most of what is near are copies',
  async (mode) => {
    // The usual hundred candidates are eight functions and their copies.
    const results = await resultsOf({ query: 'retry', mode, limit: 20 });
    expect(results).toHaveLength(20);
    expect(new Set(results.map(({ text }) => text)).size).toBe(20);
    expect(results[0]?.duplicates).toHaveLength(BRANCHES - 1);
  },
);

test('there is no end to looking where there is nothing more: all functions, once each', async () => {
  const results = await resultsOf({ query: 'retry', mode: 'dense', limit: 100 });
  expect(new Set(results.map(({ text }) => text)).size).toBe(TEXTS);
  expect(results).toHaveLength(TEXTS);
});

test('weights decide between the two lists', async () => {
  const best = async (dense: number, lexical: number) =>
    (await resultsOf({ query: 'retry number 29', weights: { dense, lexical }, limit: 1 }))[0]?.path;
  expect(await best(1, 0)).toBe('f0.ts');
  expect(await best(0, 1)).toBe('f29.ts');
});
