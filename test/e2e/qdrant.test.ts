import { isEnded, type IndexJob } from '@embergate/contracts/index-job.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { runEmbergate } from '@embergate/testing/running-embergate.ts';
import { writeFiles } from '@embergate/testing/sample-project.ts';
import { DENSE, LEXICAL } from '@embergate/vector-store-qdrant/points.ts';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isSameVector } from '../chaos/campaign/direct-model.ts';
import { QDRANT_BINARY, startOnQdrant, functions, type OnQdrant, type Page } from './on-qdrant.ts';

interface Step {
  at: (job: IndexJob) => boolean;
  act: () => Promise<void> | void;
}

describe.skipIf(QDRANT_BINARY === '')('Embergate on a real Qdrant, the one at QDRANT_BINARY', () => {
  let on: OnQdrant;
  let home: OnQdrant['home'];
  let qdrant: OnQdrant['qdrant'];
  let proxy: OnQdrant['proxy'];
  let embergate: OnQdrant['embergate'];
  let client: OnQdrant['client'];
  const large = () => join(home.path, 'large');

  beforeAll(async () => {
    on = await startOnQdrant();
    ({ home, qdrant, proxy, embergate, client } = on);
    await writeFiles(large(), functions(800));
  });
  afterAll(() => on?.stop());

  const create = (collection: string, path = large()): Promise<IndexJob> =>
    embergate.client.createIndexJob({ source: { type: 'directory', path }, collection, repo: 'code' });
  /** Follows a job to its end, and does at each state that is asked for, in that order, what is to be done then. */
  async function follow({ id }: IndexJob, ...steps: Step[]): Promise<IndexJob> {
    const left = [...steps];
    for await (const job of embergate.client.watchIndexJob(id)) {
      if (left[0]?.at(job)) await left.shift()?.act();
      if (!isEnded(job.state)) continue;
      expect(left, `${job.state}: ${job.error?.message}`).toEqual([]);
      return job;
    }
    throw new Error('the job never ended');
  }

  interface StoredRow {
    id: string;
    payload: unknown;
    words: unknown;
    vector: Float32Array;
  }
  /** All that a collection's rows say but which run wrote them, with their vectors. */
  async function rowsOf(collection: string): Promise<StoredRow[]> {
    const rows: Page['points'][0][] = [];
    let offset: Page['next_page_offset'] = null;
    do {
      const page: Page = await client.scroll(`embergate_chunks_${collection}`, {
        ...{ limit: 500, with_payload: true, with_vector: true },
        ...(offset !== null && { offset }),
      });
      rows.push(...page.points);
      offset = page.next_page_offset ?? null;
    } while (offset !== null);
    return rows
      .map(({ id, payload, vector }) => {
        const { [DENSE]: dense, [LEXICAL]: words } = vector as Record<string, unknown>;
        const said = { ...payload, addedBy: '' };
        return { id: String(id), payload: said, words, vector: Float32Array.from(dense as number[]) };
      })
      .sort((one, other) => (one.id < other.id ? -1 : 1));
  }

  /** The rows of one are those of the other; which texts were embedded together moves the last bits of their vectors. */
  async function expectSameRows(collection: string, expected: string): Promise<void> {
    const [rows, others] = [await rowsOf(collection), await rowsOf(expected)];
    const without = (all: StoredRow[]): unknown[] => all.map(({ vector: _, ...rest }) => rest);
    expect(without(rows)).toEqual(without(others));
    const differing = rows.filter(
      ({ vector }, at) => !isSameVector(vector, others[at]?.vector ?? new Float32Array()),
    );
    expect(differing).toEqual([]);
  }

  it('searches what it has indexed', async () => {
    for (const mode of ['hybrid', 'dense', 'lexical'] as const) {
      const { results } = await embergate.client.search({ query: 'retry with backoff', mode });
      expect(results[0]).toMatchObject({ path: 'src/retry.ts' });
    }
  });

  it('goes on where it was when the server is killed in the middle of a run, and the rows are those of an undisturbed one', async () => {
    const undisturbed = await follow(await create('undisturbed'));
    const killed = await follow(
      await create('killed'),
      { at: ({ progress }) => progress.embedded > 250, act: () => qdrant.kill() },
      {
        at: ({ waitingFor }) => waitingFor?.includes('the vector store') ?? false,
        act: () => qdrant.start(),
      },
    );
    expect(killed).toMatchObject({ state: 'completed', error: null });
    expect(killed.progress.embedded).toBe(undisturbed.progress.embedded);
    expect(await rowsOf('killed')).toHaveLength(800);
    await expectSameRows('killed', 'undisturbed');
  });

  it('that is slow is waited for: a job completes, a search ends by its deadline', async () => {
    proxy.delayMs = 5_000;
    try {
      const job = await create('slow', on.sample);
      const start = performance.now();
      await expect(
        embergate.client.search({ query: 'retry', collection: 'undisturbed', deadlineMs: 2_000 }),
      ).rejects.toMatchObject({ code: 'deadline_exceeded' });
      expect(performance.now() - start).toBeLessThan(4_000);
      const patient = { query: 'sum of all values', collection: 'undisturbed', deadlineMs: 110_000 };
      expect((await embergate.client.search(patient)).results).toHaveLength(10);
      proxy.delayMs = 5_000;
      expect(await follow(job)).toMatchObject({ state: 'completed', error: null });
    } finally {
      proxy.delayMs = 0;
    }
  }, 400_000);

  it('that is full is waited for, and the job goes on with what was there', async () => {
    // The words are those of a real server on a full disk; filling one here would need a disk of its own.
    const error =
      'Service internal error: No space left on device: WAL buffer size exceeds available disk space';
    const isWrite = (method: string, path: string): boolean =>
      method === 'PUT' && /embergate_chunks_full\/points/.test(path);
    const fillUpOnceVectorsAreThere = async (): Promise<void> => {
      const filter = { must: [{ has_vector: DENSE }] };
      await eventually('a vector is in the store', async () => {
        return (await client.count('embergate_chunks_full', { filter, exact: true })).count > 0;
      });
      proxy.answer = (method, path) => (isWrite(method, path) ? { status: 500, error } : null);
    };
    const ended = await follow(
      await create('full'),
      { at: ({ progress }) => progress.embedded > 0, act: fillUpOnceVectorsAreThere },
      {
        at: ({ waitingFor }) => waitingFor?.includes('No space left') ?? false,
        act: () => void (proxy.answer = () => null),
      },
    );
    expect(ended).toMatchObject({ state: 'completed', waitingFor: null });
    await expectSameRows('full', 'undisturbed');
  });

  it('that limits what is asked of it is named, with what it allows', async () => {
    const { space } = await embergate.client.collection('default');
    await follow(await create('strict', on.sample));
    const place = 'embergate_chunks_strict';
    const strict = { enabled: true, upsert_max_batchsize: 2, max_query_limit: 5 };
    await client.updateCollection(place, { strict_mode_config: strict });
    expect(space.dimensions).toBe(384);
    await expect(
      embergate.client.search({ query: 'retry', collection: 'strict', limit: 50, mode: 'dense' }),
    ).rejects.toMatchObject({ code: 'store_refused', message: expect.stringContaining('limit') as string });
    expect(await follow(await create('strict'))).toMatchObject({ error: { code: 'store_refused' } });
    const { data, unreadable } = await embergate.client.collections();
    expect(data.map(({ name }) => name)).toContain('undisturbed');
    expect(unreadable).toMatchObject([{ name: 'strict', code: 'store_refused' }]);
    await embergate.client.deleteCollection('strict');
  });

  it('whose key is another one stops the start, and QDRANT_API_KEY is named', async () => {
    const env = { QDRANT_URL: qdrant.url, QDRANT_API_KEY: 'wrong', DATA_DIR: join(home.path, 'other') };
    const { code, stderr } = await runEmbergate(['up', '--no-index', '--gateway-port', '0'], { env });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/config_invalid: .*QDRANT_API_KEY/);
  });

  it('with a collection of another program under our name is told so, and leaves it alone', async () => {
    const place = 'embergate_chunks_taken';
    await client.createCollection(place, { vectors: { size: 7, distance: 'Dot' } });
    expect(await follow(await create('taken', on.sample))).toMatchObject({
      error: { code: 'collection_foreign', message: expect.stringContaining(place) as string },
    });
    await expect(embergate.client.deleteCollection('taken')).rejects.toMatchObject({
      code: 'collection_foreign',
    });
    expect((await embergate.client.collections()).data.map(({ name }) => name)).not.toContain('taken');
    expect((await client.collectionExists(place)).exists).toBe(true);
  });
});
