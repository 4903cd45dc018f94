import { AppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import type { IndexReport } from '@embergate/contracts/index-job.ts';
import { abandonOrphans, sweep, sweepSuccessors } from '@embergate/ingestion/sweep.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { watchedStore } from '@embergate/testing/watched-store.ts';
import { createLanceDbStore } from '@embergate/vector-store-lancedb/lancedb-store.ts';
import { row, run, space } from '@embergate/vector-store/conformance/samples.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { indexJobHandler, type IndexJobParts } from '../src/index-job.ts';
import type { IndexTask } from '../src/ports.ts';

const JOB = 'job-1';
const HOUR = 3_600_000;

describe('a job that is cancelled while the store is away', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let store: VectorStore;

  /** What other jobs published, and what this one had written before the store went away. */
  beforeEach(async () => {
    folder = await temporaryFolder('cancelled');
    store = await createLanceDbStore({ path: folder.path });
    await store.ensureCollection('default', space);
    await store.putRun(run('run-0', 'committed'));
    await store.upsertRows('default', [row({ path: 'old.ts' }), row({ path: 'kept.ts' })]);
  });
  afterEach(async () => {
    await store.close();
    await folder.remove();
  });

  /** @returns what the job said last. */
  async function cancelWhileAway(
    source: object,
    later: ErrorCode = 'store_down',
  ): Promise<IndexReport | undefined> {
    const cancel = new AbortController();
    const away = () => Promise.reject(new AppError(cancel.signal.aborted ? later : 'store_down', 'away'));
    const gone = watchedStore(store, {
      getCollection: away,
      listRuns: away,
      dropSuccessor: away,
      createSuccessor: away,
    });
    const said: IndexReport[] = [];
    const lent: boolean[] = [];
    const task = {
      jobId: JOB,
      payload: { source, collection: 'default', repo: 'app', mode: 'incremental' },
      signal: cancel.signal,
      lendPlace: (isLent) => void lent.push(isLent),
      report: async (report: IndexReport) => {
        said.push(report);
        if (report.waitingFor?.includes('the vector store')) cancel.abort('cancelled');
      },
    } as IndexTask;
    const spaces = {
      of: (used: VectorStore) => used.getCollection('default'),
      withIds: () => ({ first: { space }, second: null }),
    };
    const parts = { store: gone, log: createLogger('test', 'silent'), spaces };
    await indexJobHandler(parts as unknown as IndexJobParts)(task);
    // Another job would wait for the store too.
    expect(lent).not.toContain(true);
    return said.at(-1);
  }

  it('ends as cancelled, and what it wrote is taken back once the store is there again', async () => {
    await store.putRun(run(JOB, 'pending'));
    const rows = [row({ path: 'new.ts', addedBy: JOB })];
    await store.upsertRows('default', rows);
    await store.markRemoved('default', [row({ path: 'old.ts' }).id], JOB);
    const last = await cancelWhileAway({ type: 'directory', path: '/code' });
    expect(last).toMatchObject({ state: 'cancelled' });

    await abandonOrphans(store, (jobId) => Promise.resolve(jobId !== JOB));
    await sweep(store, Date.now() + 1.1 * HOUR);
    const left: unknown[] = [];
    for await (const page of store.stamps('default', 'app')) left.push(...page);
    expect(left).toHaveLength(2);
    expect(left).toMatchObject(Array(2).fill({ addedBy: 'run-0', removedBy: null }));
    expect((await store.listRuns('default')).map(({ id }) => id)).toEqual(['run-0']);
  });

  it.each(['store_denied', 'storage_full'] as const)(
    'ends as cancelled also where the store says %s',
    async (code) => {
      await store.putRun(run(JOB, 'pending'));
      const last = await cancelWhileAway({ type: 'directory', path: '/code' }, code);
      expect(last).toMatchObject({ state: 'cancelled' });
    },
  );

  it('and moves its collection ends as cancelled too, and the copy goes', async () => {
    await store.createSuccessor('default', JOB, { space, secondSpace: null });
    expect(await cancelWhileAway({ type: 'collection', models: ['m'] })).toMatchObject({
      state: 'cancelled',
    });
    await sweepSuccessors(store, () => Promise.resolve(false));
    expect(await store.listSuccessors()).toEqual([]);
  });
});
