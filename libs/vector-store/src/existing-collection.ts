import { toAppError } from '@embergate/contracts/errors.ts';
import type { CollectionStamp, VectorStore } from './store.ts';

/** The stamp of a collection, or null where there is none. Errors: those of the store. */
export async function existingCollection(
  store: Pick<VectorStore, 'getCollection'>,
  name: string,
): Promise<CollectionStamp | null> {
  try {
    return await store.getCollection(name);
  } catch (error) {
    if (toAppError(error).code === 'collection_not_found') return null;
    throw error;
  }
}
