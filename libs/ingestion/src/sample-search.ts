import { AppError } from '@embergate/contracts/errors.ts';
import { allEnded } from '@embergate/vector-store/all-ended.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import { indexablePart, parsePathGlob } from '@embergate/vector-store/path-glob.ts';
import type { DenseSearchOptions, ScoredChunk, VectorStore } from '@embergate/vector-store/store.ts';
import type { IndexRunRequest } from './run-request.ts';
import type { RunChunks } from './run-chunks.ts';
import { keyAndSuffix } from './run-rows.ts';

/** What is asked for before a run is published. */
export interface SearchedChunk {
  key: string;
  path: string;
  symbol: string;
  text: string;
  /** Whether full text is to find it. */
  lexical: boolean;
}

interface Sample {
  sample: readonly SearchedChunk[];
  chunks: RunChunks;
  by: 'text' | 'text and vectors';
}

/** As many as a search asks for. */
const CANDIDATES = 100;

/**
 * Searches for some of a run's chunks as if it were committed, each within its file: full text by its own words, dense search by its own
 * vector. One of many in a large file may be beyond what a search brings, so half of each kind are enough.
 *
 * @param by `text` while not all rows have vectors.
 * @throws AppError `index_failed`
 */
export async function expectFound(
  store: VectorStore,
  { collection, repo, runId }: Pick<IndexRunRequest, 'collection' | 'repo' | 'runId'>,
  { sample, chunks, by }: Sample,
): Promise<void> {
  const within = (path: string): DenseSearchOptions => ({
    limit: CANDIDATES,
    // A path that reads otherwise as a glob (`/srv/a.py`, `[a]*.ts`) would match others, or none.
    filter: indexablePart(parsePathGlob(path)).path === path ? { repo: [repo], path } : { repo: [repo] },
    asIfCommitted: runId,
  });
  const byText = async (): Promise<void> => {
    const queries = sample
      .filter(({ lexical }) => lexical)
      .map((chunk) => ({ chunk, query: lexicalText(`${chunk.path} ${chunk.symbol} ${chunk.text}`) }))
      .filter(({ query }) => query !== '');
    const searches = queries.map(async ({ chunk, query }) =>
      isAmong(await store.searchLexical(collection, query, within(chunk.path)), chunk),
    );
    expectMost('full text', await allEnded(searches));
  };
  const byVector = async (): Promise<void> => {
    const ids = sample.map(({ key }) => chunks.keptId(key));
    const known = await store.vectorsById(collection, ids);
    const searches = sample.map(async (chunk, at) => {
      const vector = known.get(ids[at] ?? '')?.vector;
      return vector ? isAmong(await store.searchDense(collection, vector, within(chunk.path)), chunk) : false;
    });
    expectMost('dense search', await allEnded(searches));
  };
  if (sample.length === 0) return;
  await allEnded([byText(), by === 'text' ? Promise.resolve() : byVector()]);
}

/** What reads the same is as good: a file may hold thousands of equal chunks. */
const isAmong = (found: readonly ScoredChunk[], { key, text }: SearchedChunk): boolean =>
  found.some((row) => keyAndSuffix(row.id).key === key || row.text === text);

function expectMost(search: string, found: readonly boolean[]): void {
  const count = found.filter(Boolean).length;
  if (count * 2 >= found.length) return;
  throw new AppError(
    'index_failed',
    `Of ${found.length} chunks of this run ${search} finds ${count}; nothing was published.`,
  );
}
