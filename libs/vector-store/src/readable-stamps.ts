import { toAppError, type AppError } from '@embergate/contracts/errors.ts';
import type { CollectionStamp } from './store.ts';

/** Told of a collection that is there and cannot be read. */
export type OnUnreadable = (name: string, error: AppError) => void;

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
  return (await Promise.all(reading)).filter((stamp) => stamp !== null);
}
