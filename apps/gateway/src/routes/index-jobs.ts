import { ALL_REPOS, isEnded, type IndexJob, type IndexJobRequest } from '@embergate/contracts/index-job.ts';
import { z } from 'zod';
import { AppError } from '@embergate/contracts/errors.ts';
import { repoNameSchema } from '@embergate/contracts/http-search.ts';
import { invalidRequest, type Handler } from '../app.ts';
import { sendEvents } from '../http/sse.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { spacesOfJob } from '../job-space.ts';
import type { ServedSpaces } from '../served-spaces.ts';
import { checkSource, repoNameOf } from '../source.ts';
import type { IndexJobs } from '../ports.ts';

const listQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});
const EVENT_INTERVAL_MS = 250;

export interface CreateIndexJobParts {
  jobs: IndexJobs;
  indexRoots: readonly string[];
  spaces: ServedSpaces;
  store: VectorStore;
}

/** POST /v1/index-jobs */
export const createIndexJobHandler =
  ({ jobs, indexRoots, spaces, store }: CreateIndexJobParts): Handler =>
  async (request, response) => {
    const body = request.body as IndexJobRequest;
    checkRepoAndModel(body);
    const meant = await spacesOfJob(body, { spaces, store });
    const source = await checkSource(body.source, indexRoots);
    const repo = repoNameSchema.safeParse(body.repo ?? repoNameOf(source));
    if (!repo.success) {
      throw new AppError(
        'invalid_request',
        'repo: the last part of the source is no name for a repo; give one.',
      );
    }
    const by = String(response.locals['keyName'] ?? '');
    const job = await jobs.add({ ...body, source, repo: repo.data, spaces: meant }, by);
    response.status(202).location(`/v1/index-jobs/${job.id}`).json(job);
  };

/** @throws AppError `invalid_request` for what would be ignored, and for the name that stands for all repositories. */
function checkRepoAndModel({ source, repo, model, estimateOnly }: IndexJobRequest): void {
  if (source.type === 'collection' && (repo !== undefined || model !== undefined || estimateOnly))
    throw new AppError(
      'invalid_request',
      'a move takes no repo, model or estimateOnly: it is of all repos, to source.models.',
    );
  if (repo === ALL_REPOS) throw new AppError('invalid_request', `repo: "${ALL_REPOS}" is not a name.`);
}

export const listIndexJobsHandler =
  (jobs: IndexJobs): Handler =>
  async (request, response) => {
    const query = listQuerySchema.safeParse(request.query);
    if (!query.success) throw invalidRequest(query.error);
    response.json({ data: await jobs.list(query.data.limit), nextCursor: null });
  };

export const getIndexJobHandler =
  (jobs: IndexJobs): Handler =>
  async (request, response) => {
    response.json(await jobs.get(String(request.params['id'])));
  };

/** GET /v1/index-jobs/{id}/events */
export const watchIndexJobHandler =
  (jobs: IndexJobs, closing: AbortSignal): Handler =>
  async (request, response) => {
    const id = String(request.params['id']);
    const next = async (): Promise<{ data: IndexJob; last: boolean }> => {
      const job = await jobs.get(id);
      return { data: job, last: isEnded(job.state) };
    };
    await sendEvents(response, { event: 'job', everyMs: EVENT_INTERVAL_MS, closing, next });
  };

export const cancelIndexJobHandler =
  (jobs: IndexJobs): Handler =>
  async (request, response) => {
    response.status(202).json(await jobs.cancel(String(request.params['id'])));
  };
