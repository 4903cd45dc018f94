import { searchRequestSchema } from '@embergate/contracts/http-search.ts';
import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { watchedStore } from '@embergate/testing/watched-store.ts';
import { createLanceDbStore } from '@embergate/vector-store-lancedb/lancedb-store.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import type { ChunkRow, RunRecord, RunState, VectorStore } from '@embergate/vector-store/store.ts';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { search } from '../src/search.ts';

const space: EmbeddingSpace = {
  ...{ model: 'a-model', revision: 'a-commit', dimensions: 2, pooling: 'mean', normalize: true },
  prompts: { query: '', document: '' },
};
const COLLECTION = 'default';
const ROWS = 8;

const run = (id: string, state: RunState): RunRecord => ({
  ...{ id, collection: COLLECTION, repo: 'app', state, commit: null },
  ...{ startedAt: new Date().toISOString(), finishedAt: null },
});

/** The rows that a run makes of the same files. */
const rowsOf = (runId: string): ChunkRow[] =>
  Array.from({ length: ROWS }, (_, at) => {
    const text = `retry number ${at} of ${runId}`;
    return {
      ...{ id: `${at}~${runId}`, repo: 'app', path: `f${at}.ts`, language: 'typescript', symbol: '' },
      ...{ startLine: 1, endLine: 1, text, embeddedHash: text, lexicalText: lexicalText(text) },
      ...{ addedBy: runId, removedBy: null, vector: Float32Array.of(1, 0), secondVector: null },
    };
  });

let folder: string;
let store: VectorStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'one-state-'));
  store = await createLanceDbStore({ path: folder });
  await store.ensureCollection(COLLECTION, space);
  await store.upsertRows(COLLECTION, rowsOf('old'));
  await store.putRun(run('old', 'committed'));
  await store.putRun(run('new', 'pending'));
  await store.upsertRows(COLLECTION, rowsOf('new'));
  await store.markRemoved(
    COLLECTION,
    rowsOf('old').map(({ id }) => id),
    'new',
  );
});
afterEach(async () => {
  await store?.close();
  await rm(folder, { recursive: true, force: true });
});

it('a run that is published while the query is embedded is seen by full text and by vectors, or by neither', async () => {
  const fullText = Promise.withResolvers<void>();
  const watched = watchedStore(store, {
    searchLexical: async (collection, query, options) => {
      const found = await store.searchLexical(collection, query, options);
      fullText.resolve();
      return found;
    },
  });
  const report = {
    ...{ model: 'a-model', space: 'a-space', variant: 'fp32', tier: 'cpu', device: 'cpu' },
    ...{ degraded: false, reason: null, cached: false, predictedMs: null, tookMs: 1 },
  } as const;
  const embedder = {
    serves: () => true,
    embedQuery: async () => {
      await fullText.promise;
      await store.putRun(run('new', 'committed'));
      const timingsMs = { admission: 0, queue: 0, tokenize: 0, inference: 1 };
      return { vector: Float32Array.of(1, 0), report, timingsMs, warnings: [] };
    },
  };
  const request = searchRequestSchema.parse({
    query: 'retry number',
    arrange: { fold: false, merge: false },
  });
  const parts = { store: watched, embedder, defaults: { deadlineMs: 10_000, degradation: 'allow' as const } };
  const { results } = await search(parts, request);
  expect(results.map(({ id }) => id).sort()).toEqual(rowsOf('new').map(({ id }) => id));
});
