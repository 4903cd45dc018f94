import type { AdoptionRequest } from '@embergate/contracts/adoption.ts';
import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import { collectionNameSchema } from '@embergate/contracts/http-search.ts';
import type { IndexJob, IndexSource } from '@embergate/contracts/index-job.ts';
import type { ForeignCollections } from '@embergate/vector-store/foreign-collections.ts';
import { existingCollection } from '@embergate/vector-store/existing-collection.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import type { Request } from 'express';
import { isDeepStrictEqual } from 'node:util';
import { inspect, type Inspection } from '../adoption.ts';
import { invalidRequest, type Handler } from '../app.ts';
import type { IndexJobs } from '../ports.ts';
import type { ServedSpace, ServedSpaces } from '../served-spaces.ts';

export interface AdoptionRouteParts {
  /** Null where QDRANT_URL names none. */
  foreign: ForeignCollections | null;
  spaces: ServedSpaces;
  store: Pick<VectorStore, 'getCollection'>;
}

/** POST /v1/collections/{name}/adopt/preview */
export const previewAdoptionHandler =
  (parts: AdoptionRouteParts): Handler =>
  async (request, response) => {
    const { preview } = await look(parts, request);
    response.json(preview);
  };

/**
 * POST /v1/collections/{name}/adopt: refuses what the preview has problems with, by the first one's code. Jobs that an earlier
 * request has queued already are among the answer, so that what was half queued is completed by asking again.
 */
export const adoptCollectionHandler =
  (parts: AdoptionRouteParts, jobs: IndexJobs): Handler =>
  async (request, response) => {
    const { preview, source, problems } = await look(parts, request);
    const [problem] = problems;
    if (problem || !source) throw problem ?? new AppError('vectors_invalid', 'There is no text to adopt.');
    const { collection, space } = preview;
    const by = String(response.locals['keyName'] ?? '');
    const data: IndexJob[] = [];
    const inTheWay: unknown[] = [];
    for (const { name: repo } of preview.repos) {
      const payload = { source, collection, repo, mode: 'incremental' } as const;
      try {
        data.push(await jobs.add({ ...payload, spaces: [space] }, by));
      } catch (error) {
        const { code, details } = toAppError(error);
        if (code !== 'job_running') throw error;
        const job = await jobs.get(String(details['jobId']));
        if (isSame(job.source, source)) data.push(job);
        else inTheWay.push(error);
      }
    }
    // Not before the others are queued: asked again when that job has ended, only its repo is missing.
    if (inTheWay.length > 0) throw inTheWay[0];
    response.status(202).json({ data, nextCursor: null });
  };

/** As JSON, in which one of them was kept. */
const isSame = (kept: IndexSource, source: IndexSource): boolean =>
  isDeepStrictEqual(kept, JSON.parse(JSON.stringify(source)));

async function look(parts: AdoptionRouteParts, { params, body }: Request): Promise<Inspection> {
  const name = collectionNameSchema.safeParse(params['name']);
  if (!name.success) throw invalidRequest(name.error);
  const { foreign } = parts;
  if (!foreign)
    throw new AppError('invalid_request', 'This gateway has no QDRANT_URL to adopt a collection from.');
  const wanted = body as AdoptionRequest;
  const { model, embedder } = await spaceFor(parts, name.data, wanted.space);
  const embed = async (text: string, deadlineMs: number): Promise<Float32Array> =>
    (await embedder.embedOne(text, 'document', { deadlineMs })).vector;
  return inspect({ foreign, space: model.space, embed }, name.data, wanted);
}

/**
 * That of the collection where there is one already, else the one that is declared, else the first. What is declared
 * and does not fit is for the inspection to say.
 */
async function spaceFor(
  { spaces, store }: AdoptionRouteParts,
  collection: string,
  declared: string | undefined,
): Promise<ServedSpace> {
  const stamp = await existingCollection(store, collection);
  if (stamp?.secondSpace)
    throw new AppError(
      'space_mismatch',
      `The collection "${collection}" carries a second space, which copied vectors are not of. Adopt into another one.`,
    );
  if (stamp) return spaces.of(stamp.space);
  return spaces.all.find(({ id }) => id === declared) ?? spaces.first;
}
