import { AppError } from '@embergate/contracts/errors.ts';
import { lexicalText } from '@embergate/vector-store/lexical-text.ts';
import { indexablePart, parsePathGlob } from '@embergate/vector-store/path-glob.ts';
import type { DenseSearchOptions, VectorStore } from '@embergate/vector-store/store.ts';
import type { IndexRunRequest } from './run-request.ts';

/** What is asked for before a run is published. */
export interface SearchedChunk {
  key: string;
  path: string;
  symbol: string;
  embeddedHash: string;
  /** Whether full text is to find it. */
  lexical: boolean;
}

/** Of a chunk's own vector and the nearest one in its file: 1, but for what a store's compression takes. */
const LEAST_COSINE = 0.98;

/**
 * Searches for some of a run's chunks as if it were committed: dense by their own vectors, full text by their paths and symbols.
 * A search by an approximate index may miss one, so half of each kind are enough.
 *
 * @param by `text` while not all rows have vectors.
 * @throws AppError `index_failed`
 */
export async function expectFound(
  store: VectorStore,
  { collection, repo, runId }: Pick<IndexRunRequest, 'collection' | 'repo' | 'runId'>,
  { sample, by }: { sample: readonly SearchedChunk[]; by: 'text' | 'text and vectors' },
): Promise<void> {
  const within = (path: string): DenseSearchOptions => ({
    limit: 1,
    // A path that reads otherwise as a glob (`/srv/a.py`, `[a]*.ts`) would match others, or none.
    filter: indexablePart(parsePathGlob(path)).path === path ? { repo: [repo], path } : { repo: [repo] },
    asIfCommitted: runId,
  });
  const byText = async (): Promise<void> => {
    const queries = sample
      .filter(({ lexical }) => lexical)
      .map(({ path, symbol }) => ({ path, query: lexicalText(`${path} ${symbol}`) }))
      .filter(({ query }) => query !== '');
    const found = queries.map(({ path, query }) => store.searchLexical(collection, query, within(path)));
    expectMost(
      'full text',
      (await Promise.all(found)).map(({ length }) => length > 0),
    );
  };
  const byVector = async (): Promise<void> => {
    const hashes = [...new Set(sample.map(({ embeddedHash }) => embeddedHash))];
    const known = await store.vectorsByHash(collection, hashes);
    const found = sample.map(async ({ path, embeddedHash }) => {
      const vector = known.get(embeddedHash)?.vector;
      const [nearest] = vector ? await store.searchDense(collection, vector, within(path)) : [];
      return nearest !== undefined && nearest.score >= LEAST_COSINE;
    });
    expectMost('dense search', await Promise.all(found));
  };
  if (sample.length === 0) return;
  await Promise.all([byText(), by === 'text' ? undefined : byVector()]);
}

function expectMost(search: string, found: readonly boolean[]): void {
  const count = found.filter(Boolean).length;
  if (count * 2 >= found.length) return;
  throw new AppError(
    'index_failed',
    `Of ${found.length} chunks of this run ${search} finds ${count}; nothing was published.`,
  );
}
