import type { QdrantClient } from '@qdrant/js-client-rest';
import type { RunRecord } from '@embergate/vector-store/store.ts';
import { createIndexes } from './collections.ts';
import { describeFailure } from './failures.ts';
import { fieldIs } from './filters.ts';
import { pointId } from './points.ts';

/** Run records lie in a collection without vectors, beside those with chunks. */
const RUNS_COLLECTION = 'embergate_runs';
const PAGE = 1_000;

const runPointId = (collection: string, runId: string): string =>
  pointId(JSON.stringify([collection, runId]));

export async function createRunsCollection(client: QdrantClient): Promise<void> {
  const { exists } = await client.collectionExists(RUNS_COLLECTION);
  if (!exists) {
    await client.createCollection(RUNS_COLLECTION, { vectors: {} }).catch((error: unknown) => {
      // Another process was faster.
      if (describeFailure(error).status !== 409) throw error;
    });
  }
  const { payload_schema: indexed } = await client.getCollection(RUNS_COLLECTION);
  await createIndexes(client, RUNS_COLLECTION, { wanted: { collection: 'keyword' }, indexed });
}

/** Writes a record whole: Qdrant replaces a point in one step. */
export async function putRunPoint(client: QdrantClient, run: RunRecord): Promise<void> {
  const point = { id: runPointId(run.collection, run.id), vector: {}, payload: { ...run } };
  await client.upsert(RUNS_COLLECTION, { wait: true, points: [point] });
}

export async function deleteRunPoint(client: QdrantClient, collection: string, runId: string): Promise<void> {
  await client.delete(RUNS_COLLECTION, { wait: true, points: [runPointId(collection, runId)] });
}

export async function deleteRunPoints(client: QdrantClient, collection: string): Promise<void> {
  const filter = { must: [fieldIs('collection', collection)] };
  await client.delete(RUNS_COLLECTION, { wait: true, filter });
}

export async function readRunPoints(client: QdrantClient, collection: string): Promise<RunRecord[]> {
  const filter = { must: [fieldIs('collection', collection)] };
  const runs: RunRecord[] = [];
  let offset: string | number | null = null;
  do {
    const page = await client.scroll(RUNS_COLLECTION, {
      filter,
      limit: PAGE,
      with_payload: true,
      ...(offset !== null && { offset }),
    });
    runs.push(...page.points.map((point) => recordOf(point.payload as unknown as RunRecord)));
    offset = page.next_page_offset as string | number | null;
  } while (offset !== null && offset !== undefined);
  return runs;
}

function recordOf({ id, collection, repo, state, commit, startedAt, finishedAt }: RunRecord): RunRecord {
  return { id, collection, repo, state, commit, startedAt, finishedAt };
}
