import { AppError } from '@embergate/contracts/errors.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { expect, it } from 'vitest';
import { indexJobHandler, type IndexJobParts } from '../src/index-job.ts';
import type { IndexTask } from '../src/ports.ts';

/** A job whose queue cannot keep what it is told so many times, and whose work then ends for a reason of its own. */
function jobOn(refusals: number, stop = new AbortController()): { asked: () => number; job: Promise<void> } {
  let asked = 0;
  const task = {
    jobId: 'job-1',
    payload: { source: { type: 'directory', path: '/code' }, collection: 'default', repo: 'app' },
    signal: stop.signal,
    report: async () => {
      asked += 1;
      if (asked === 1 && refusals === Infinity) stop.abort('stopping');
      if (asked <= refusals) throw new AppError('storage_full', 'The queue cannot write to its disk.');
    },
  } as unknown as IndexTask;
  const parts = {
    // Stands for a store in which there is nothing of the job.
    store: {
      listRuns: () => Promise.resolve([]),
      deleteRows: () => Promise.resolve(),
    } as unknown as VectorStore,
    log: createLogger('test', 'silent'),
    spaces: { of: () => Promise.reject(new AppError('model_not_installed', 'no model')) },
  };
  return { asked: () => asked, job: indexJobHandler(parts as unknown as IndexJobParts)(task) };
}

it('a job does not fail by a queue that keeps nothing for a while, as its disk is full', async () => {
  const { asked, job } = jobOn(2);
  await expect(job).rejects.toMatchObject({ code: 'model_not_installed' });
  expect(asked()).toBe(3);
});

it('an indexer that stops does not wait for the queue', async () => {
  const { asked, job } = jobOn(Infinity);
  await expect(job).rejects.toMatchObject({ code: 'storage_full' });
  expect(asked()).toBe(1);
});
