// `npm run bench:qdrant`, with QDRANT_URL (and QDRANT_API_KEY): recall@10 of quantised vectors with and without rescoring, and
// whether Qdrant and LanceDB give the same top 10. Ends with 1 where they do for fewer than 95% of the queries.
// Makes collections called embergate_chunks_bench-* in that Qdrant and removes them.
// Corpus: Python's standard library without tests (default), or the folder named as the first argument.
import type { QdrantQuantization } from '@embergate/contracts/settings.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import type { ScoredChunk, VectorStore } from '@embergate/vector-store/store.ts';
import { createLanceDbStore } from '@embergate/vector-store-lancedb/lancedb-store.ts';
import { connect } from '@embergate/vector-store-qdrant/connection.ts';
import { createQdrantStore } from '@embergate/vector-store-qdrant/qdrant-store.ts';
import { resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { embedCorpus, type EmbeddedCorpus } from './embedded-corpus.ts';
import { quantile } from './raw.ts';
import { copyStandardLibrary } from './stdlib.ts';

const CHUNKS = Number(process.env['BENCH_CHUNKS'] ?? 6_000);
const QUERIES = 300;
const TOP = 10;
const LEAST_SAME = 0.95;
const UPSERT = 1_000;
const KINDS: QdrantQuantization[] = ['none', 'scalar', 'turbo4', 'turbo2', 'binary'];
const OVERSAMPLINGS = [1, 2, 3, 5];
/** Scores that differ by less are those of equal vectors, whose order is nobody's. */
const TIE = 1e-6;

const url = process.env['QDRANT_URL'];
if (url === undefined) throw new Error('QDRANT_URL names no Qdrant to measure');
const connection = { url, apiKey: process.env['QDRANT_API_KEY'] };
const client = connect(connection, 120_000);
const nameOf = (kind: string): string => `bench-${kind}`;
const placeOf = (kind: string): string => `embergate_chunks_${nameOf(kind)}`;

type Ranking = Pick<ScoredChunk, 'id' | 'score'>[];

async function fill(store: VectorStore, name: string, { space, rows }: EmbeddedCorpus): Promise<void> {
  await store.ensureCollection(name, space);
  for (let at = 0; at < rows.length; at += UPSERT) await store.upsertRows(name, rows.slice(at, at + UPSERT));
  await store.optimize(name);
}

/** Searches in turn. @returns each query's top 10 and the milliseconds it took. */
async function rank(
  { queries }: EmbeddedCorpus,
  search: (vector: Float32Array) => Promise<Ranking>,
): Promise<{ rankings: Ranking[]; times: number[] }> {
  const rankings: Ranking[] = [];
  const times: number[] = [];
  for (const { vector } of queries) {
    const start = performance.now();
    rankings.push(await search(vector));
    times.push(performance.now() - start);
  }
  return { rankings, times };
}

const storeSearch =
  (store: VectorStore, name: string) =>
  (vector: Float32Array): Promise<Ranking> =>
    store.searchDense(name, vector, { limit: TOP, filter: {} });

/** Compares with every vector there is. */
const exactSearch =
  (place: string, params: object = { exact: true }) =>
  async (vector: Float32Array): Promise<Ranking> => {
    const { points } = await client.query(place, {
      ...{ query: Array.from(vector), using: 'dense', limit: TOP, with_payload: ['id'], params },
    });
    return points.map(({ payload, score }) => ({ id: String(payload?.['id']), score }));
  };

const recall = (found: readonly Ranking[], truth: readonly Ranking[]): number => {
  const shares = truth.map((ranking, at) => {
    const ids = new Set((found[at] ?? []).map(({ id }) => id));
    return ranking.filter(({ id }) => ids.has(id)).length / ranking.length;
  });
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
};

/** The same ids in the same order, but for those of equal score. */
function same(one: Ranking, other: Ranking): boolean {
  return (
    one.length === other.length &&
    one.every(({ id, score }, at) => {
      const there = other[at];
      return there !== undefined && (there.id === id || Math.abs(there.score - score) < TIE);
    })
  );
}
const share = (values: readonly boolean[]): number => values.filter(Boolean).length / values.length;
const percent = (value: number): string => `${(value * 100).toFixed(1)}%`;

/** Lets the server index and quantise what is far too little for it otherwise, and waits for that. */
async function indexSmall(place: string): Promise<void> {
  await client.updateCollection(place, { optimizers_config: { indexing_threshold: 100 } });
  for (;;) {
    await wait(500);
    const {
      status,
      indexed_vectors_count: indexed,
      points_count: points,
    } = await client.getCollection(place);
    if (status === 'green' && (indexed ?? 0) >= (points ?? 0)) return;
  }
}

async function remove(): Promise<void> {
  for (const kind of KINDS) await client.deleteCollection(placeOf(kind));
}

const corpusFolder = await temporaryFolder('corpus');
const lanceFolder = await temporaryFolder('lance');
const [named] = process.argv.slice(2);
const root = named === undefined ? corpusFolder.path : resolve(named);
const { version } = await client.versionInfo();
console.log(`Qdrant ${version}`);
if (named === undefined) console.log(`Python ${await copyStandardLibrary(root)}'s standard library`);
await remove();
try {
  const corpus = await embedCorpus(root, { chunks: CHUNKS, queries: QUERIES });
  const { rows, queries, space } = corpus;
  console.log(`${rows.length} chunks, ${queries.length} queries, ${space.dimensions} dimensions`);
  const lance = await createLanceDbStore({ path: lanceFolder.path });
  await fill(lance, nameOf('lance'), corpus);
  for (const kind of KINDS)
    await fill(createQdrantStore({ ...connection, quantization: kind }), nameOf(kind), corpus);

  const { rankings: ofLance } = await rank(corpus, storeSearch(lance, nameOf('lance')));
  const { rankings: exact } = await rank(corpus, exactSearch(placeOf('none')));
  await lance.close();
  const agreeing = share(exact.map((ranking, at) => same(ranking, ofLance[at] ?? [])));
  const alike = share(
    exact.map((ranking, at) => ranking.every(({ id }, place) => ofLance[at]?.[place]?.id === id)),
  );
  console.log(
    `\nLanceDB and Qdrant, exact: the same top ${TOP} for ${percent(agreeing)} of the queries (${percent(alike)} in the order of equal scores too); recall ${recall(ofLance, exact).toFixed(4)}`,
  );

  console.log('\nquantisation  oversampling  recall@10  p50');
  for (const kind of KINDS) {
    await indexSmall(placeOf(kind));
    const line = (label: string, { rankings, times }: Awaited<ReturnType<typeof rank>>): void =>
      console.log(
        `${kind.padEnd(12)}  ${label.padEnd(12)}  ${recall(rankings, exact).toFixed(4)}     ${quantile(times, 0.5).toFixed(1)} ms`,
      );
    if (kind === 'none') {
      line('-', await rank(corpus, storeSearch(createQdrantStore(connection), nameOf(kind))));
      continue;
    }
    const bare = { quantization: { rescore: false } };
    line('no rescoring', await rank(corpus, exactSearch(placeOf(kind), bare)));
    for (const oversampling of OVERSAMPLINGS) {
      const store = createQdrantStore({ ...connection, quantization: kind, oversampling });
      line(String(oversampling), await rank(corpus, storeSearch(store, nameOf(kind))));
    }
  }
  if (agreeing < LEAST_SAME) process.exitCode = 1;
} finally {
  await remove();
  await corpusFolder.remove();
  await lanceFolder.remove();
}
