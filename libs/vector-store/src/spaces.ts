import { AppError } from '@embergate/contracts/errors.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type { ChunkRow, CollectionSpaces, CollectionStamp } from './store.ts';

/** A stamp as it was stored; those from before there were second spaces don't speak of one. */
export type StoredStamp = Omit<CollectionStamp, 'secondSpace'> & { secondSpace?: EmbeddingSpace | null };

/** The stamp of the collection that is asked for by this name: what took another one's place was made under its own. */
export function stampFor(
  name: string,
  { space, secondSpace = null, createdAt }: StoredStamp,
): CollectionStamp {
  return { name, space, secondSpace, createdAt };
}

export function newStamp(name: string, { space, secondSpace }: CollectionSpaces): CollectionStamp {
  return { name, space, secondSpace, createdAt: new Date().toISOString() };
}

/** @param wanted `secondSpace` undefined: any or none will do. Throws `space_mismatch`. */
export function checkSpaces(
  existing: CollectionStamp,
  wanted: { space: EmbeddingSpace; secondSpace?: EmbeddingSpace | null | undefined },
): void {
  const { space, secondSpace = existing.secondSpace } = wanted;
  const has = idsOf(existing);
  const asked = idsOf({ space, secondSpace });
  if (has === asked) return;
  throw new AppError(
    'space_mismatch',
    `The collection "${existing.name}" holds vectors of ${has}, not of ${asked}`,
  );
}

const idsOf = ({ space, secondSpace }: CollectionSpaces): string =>
  secondSpace === null ? spaceId(space) : `${spaceId(space)} and ${spaceId(secondSpace)}`;

/** Throws `space_mismatch` unless a row has a vector of the right length in each of the collection's spaces, or none at all. */
export function checkVectors(
  stamp: CollectionStamp,
  { vector, secondVector }: Pick<ChunkRow, 'vector' | 'secondVector'>,
): void {
  if (vector === null && secondVector === null) return;
  checkDimensions(stamp, vector ?? new Float32Array(), 'first');
  if (secondVector !== null) checkDimensions(stamp, secondVector, 'second');
  else if (stamp.secondSpace !== null) {
    throw new AppError(
      'space_mismatch',
      `The collection "${stamp.name}" carries a second space, and a row has no vector of ${spaceId(stamp.secondSpace)}`,
    );
  }
}

/** Throws `space_mismatch` where that field holds vectors of another space by now. @param id undefined: of any. */
export function checkSpaceId(
  stamp: CollectionStamp,
  which: 'first' | 'second',
  id: string | undefined,
): void {
  const space = which === 'first' ? stamp.space : stamp.secondSpace;
  if (id === undefined || (space && spaceId(space) === id)) return;
  const what = `The collection "${stamp.name}" holds vectors of ${idsOf(stamp)} now`;
  throw new AppError('space_mismatch', `${what}, and the query's is of ${id}`);
}

/** Throws `space_mismatch` for a vector of another length, and for a second space that is not there. */
export function checkDimensions(
  stamp: CollectionStamp,
  vector: Float32Array,
  which: 'first' | 'second',
): void {
  const space = which === 'first' ? stamp.space : stamp.secondSpace;
  if (space === null) {
    throw new AppError('space_mismatch', `The collection "${stamp.name}" carries no second space`);
  }
  if (vector.length === space.dimensions) return;
  throw new AppError(
    'space_mismatch',
    `The collection "${stamp.name}" holds vectors of ${space.dimensions} dimensions, this one has ${vector.length}`,
  );
}
