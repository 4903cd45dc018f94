import { isEnded, type IndexJob, type IndexJobRequest } from '@embergate/contracts/index-job.ts';
import { z } from 'zod';
import { AppError } from '@embergate/contracts/errors.ts';
import { repoNameSchema } from '@embergate/contracts/http-search.ts';
import { invalidRequest, type Handler } from '../app.ts';
import { sendEvents } from '../http/sse.ts';
import { checkSource, repoNameOf } from '../source.ts';
import type { IndexJobs } from '../ports.ts';

const listQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});
const EVENT_INTERVAL_MS = 250;

/** POST /v1/index-jobs */
export const createIndexJobHandler =
  (jobs: IndexJobs, { indexRoots, space }: { indexRoots: readonly string[]; space: string }): Handler =>
  async (request, response) => {
    const body = request.body as IndexJobRequest;
    if (body.source.type === 'vectors') expectSpace(body.source.space, space);
    const source = await checkSource(body.source, indexRoots);
    const repo = repoNameSchema.safeParse(body.repo ?? repoNameOf(source));
    if (!repo.success) {
      throw new AppError(
        'invalid_request',
        'repo: the last part of the source is no name for a repo; give one.',
      );
    }
    const by = String(response.locals['keyName'] ?? '');
    const job = await jobs.add({ ...body, source, repo: repo.data }, by);
    response.status(202).location(`/v1/index-jobs/${job.id}`).json(job);
  };

function expectSpace(declared: string, own: string): void {
  if (declared === own) return;
  const remedy = 'Start it with the EMBEDDING_MODEL that made them, or embed the chunks with its own.';
  throw new AppError(
    'space_mismatch',
    `The vectors are of ${declared}, and this gateway's are of ${own}. ${remedy}`,
  );
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
