import { AppError } from '@embergate/contracts/errors.ts';
import type { IndexJobRequest } from '@embergate/contracts/index-job.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import { existingCollection } from '@embergate/vector-store/existing-collection.ts';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import type { ServedSpaces } from './served-spaces.ts';

interface JobSpaceParts {
  spaces: ServedSpaces;
  store: Pick<VectorStore, 'getCollection'>;
}

/**
 * The ids of a move's spaces; else of the one that a new collection of the job would lie in: of the model that is named, of
 * the vectors that are brought, else the first. An existing collection is asked only where there is something to get wrong, so that jobs are
 * taken while the store is away.
 *
 * @throws AppError `model_not_found`; `space_mismatch` where the collection, the model and the vectors do not agree;
 * `collection_not_found` for a move of what is not there.
 */
export async function spacesOfJob(
  { source, collection, model }: IndexJobRequest,
  { spaces, store }: JobSpaceParts,
): Promise<string[]> {
  if (source.type === 'collection') return spacesOfMove(source.models, { spaces, store, collection });
  const named = model === undefined ? null : spaces.named(model).id;
  const declared = source.type === 'vectors' ? source.space : null;
  const wanted = named ?? declared ?? spaces.first.id;
  if (declared !== null) expectSpace(declared, named === null ? spaces.all.map(({ id }) => id) : [named]);
  if (named === null && declared === null) return [wanted];
  const stamp = await existingCollection(store, collection);
  if (stamp && spaceId(stamp.space) !== wanted) {
    const what = `The collection "${collection}" lies in ${spaceId(stamp.space)}, not in ${wanted}`;
    throw new AppError('space_mismatch', `${what}. Move it there with: embergate collections move.`);
  }
  return [wanted];
}

async function spacesOfMove(
  models: readonly string[],
  { spaces, store, collection }: JobSpaceParts & { collection: string },
): Promise<string[]> {
  const ids = models.map((model) => spaces.named(model).id);
  if (new Set(ids).size < ids.length)
    throw new AppError('invalid_request', 'source.models: the second model must be another one.');
  await store.getCollection(collection);
  return ids;
}

function expectSpace(declared: string, own: readonly string[]): void {
  if (own.includes(declared)) return;
  const remedy =
    'Serve the model that made them (EMBEDDING_MODEL, OTHER_EMBEDDING_MODELS), or embed the chunks with another.';
  throw new AppError(
    'space_mismatch',
    `The vectors are of ${declared}, and this gateway's are of ${own.join(', ')}. ${remedy}`,
  );
}
