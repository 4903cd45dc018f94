import { AppError } from '@embergate/contracts/errors.ts';
import type { IndexJob, IndexJobPayload } from '@embergate/contracts/index-job.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { foreignInMemory } from '@embergate/testing/foreign-memory.ts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { adoptCollectionHandler } from '../src/routes/adoption.ts';
import type { ServedSpaces } from '../src/served-spaces.ts';
import { startApp, type AppOnPort } from './app-on-port.ts';

const space: EmbeddingSpace = {
  ...{ model: 'fake', revision: '1', dimensions: 2, pooling: 'mean', normalize: true },
  prompts: { query: '', document: '' },
};
const vector = Float32Array.of(1, 0);
const REPOS = ['one', 'two', 'three'];
const points = REPOS.map((repo, id) => ({
  id,
  payload: { content: `export const handler${id} = (request: Request) => respond(${id});`, repo },
  vector,
}));

/** Stands for the queue: one job a repo at a time, and away from the `awayAt`th call to add on. */
class FakeJobs {
  readonly jobs: IndexJob[] = [];
  awayAt = Infinity;
  #calls = 0;

  async add(payload: IndexJobPayload): Promise<IndexJob> {
    if (this.#calls++ === this.awayAt) throw new AppError('queue_down', 'away');
    const running = this.jobs.find(({ repo }) => repo === payload.repo);
    if (running) throw new AppError('job_running', 'a job runs', { details: { jobId: running.id } });
    const kept = JSON.parse(JSON.stringify(payload)) as IndexJobPayload;
    this.jobs.push({ ...kept, id: `job-${payload.repo}`, state: 'queued' } as unknown as IndexJob);
    return this.jobs.at(-1) as IndexJob;
  }

  async get(id: string): Promise<IndexJob> {
    return this.jobs.find((job) => job.id === id) as IndexJob;
  }
}

let jobs: FakeJobs;
let app: AppOnPort;
beforeEach(async () => {
  jobs = new FakeJobs();
  const embedder = { embedOne: async () => ({ vector }) };
  const served = { id: spaceId(space), model: { space }, embedder };
  const vectors = [{ name: 'code', dimensions: 2, distance: 'Cosine', datatype: 'float32' }];
  const parts = {
    foreign: foreignInMemory({ theirs: { vectors, points } }),
    spaces: { all: [served], first: served } as unknown as ServedSpaces,
    store: {
      getCollection: async () => {
        throw new AppError('collection_not_found', 'not there yet');
      },
    },
  };
  app = await startApp({ adoptCollection: adoptCollectionHandler(parts, jobs as never) });
});
afterEach(() => app.close());

const adopt = () => app.ask('POST', '/v1/collections/ours/adopt', { from: 'theirs' });
const reposOf = ({ data }: Record<string, unknown>) => (data as IndexJob[]).map(({ repo }) => repo).sort();

it('an adoption that was half queued when the queue went away is completed by asking again', async () => {
  jobs.awayAt = 2;
  expect(await adopt()).toMatchObject({ status: 503, code: 'queue_down' });
  expect(jobs.jobs).toHaveLength(2);
  const answer = await adopt();
  expect(answer['status']).toBe(202);
  expect(reposOf(answer)).toEqual([...REPOS].sort());
  expect(jobs.jobs).toHaveLength(3);
});

it('another job of one repo is told, and holds up that repo only', async () => {
  await jobs.add({ source: { type: 'directory', path: '/code' }, repo: 'two' } as IndexJobPayload);
  expect(await adopt()).toMatchObject({ status: 409, code: 'job_running', jobId: 'job-two' });
  expect(jobs.jobs.map(({ repo }) => repo).sort()).toEqual([...REPOS].sort());
  jobs.jobs.shift();
  expect(reposOf(await adopt())).toEqual([...REPOS].sort());
});
