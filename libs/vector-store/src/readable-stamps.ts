import { toAppError } from '@embergate/contracts/errors.ts';
import { allEnded } from './all-ended.ts';
import type { CollectionStamp, OnUnreadable } from './store.ts';

interface StampReading {
  /** Null, or `collection_not_found`, for what is none of ours or was dropped in between. */
  stampOf: (name: string) => Promise<CollectionStamp | null>;
  /** Without it, what is wrong with one collection is thrown. */
  onUnreadable: OnUnreadable | undefined;
}

/** The stamps of collections, each read by itself: a damaged one does not hide the others. */
export async function readableStamps(
  names: readonly string[],
  { stampOf, onUnreadable }: StampReading,
): Promise<CollectionStamp[]> {
  const reading = names.map(async (name) => {
    try {
      return await stampOf(name);
    } catch (thrown) {
      const error = toAppError(thrown);
      if (error.code === 'collection_not_found') return null;
      if (!onUnreadable) throw thrown;
      onUnreadable(name, error);
      return null;
    }
  });
  // What is thrown for one, when all have been read: the caller may close the store then.
  return (await allEnded(reading)).filter((stamp) => stamp !== null);
}
