import { AppError } from '@embergate/contracts/errors.ts';

/*
 * A collection is replaced by a successor that was written beside it:
 *
 *   (none) --createSuccessor--> building --replaceBySuccessor--> in place --(its own successor)--> replaced --grace--> removed
 *                                  |--dropSuccessor--> (none)
 *
 * A store keeps a collection's rows in a *place*: what the store itself calls a table or collection. Without a pointer
 * the place follows from the name; replacing is one write of the pointer.
 */

/** No collection's name may hold it (collectionNameSchema), and both stores take it. */
const MARK = '.';
const SUCCESSOR_ID = /^[A-Za-z0-9_-]{1,64}$/;
/** What a pointer remembers of its past: many times what a grace time can hold. */
const REMEMBERED = 100;

/** Where the rows of a collection are that has been replaced, one small record a collection. */
export interface CollectionPointer {
  name: string;
  place: string;
  /** When the rows of the last place were replaced by these. */
  switchedAt: string;
  /** Ids of the successors that have taken the place, the last one last. */
  successors: string[];
}

/** The name under which a successor is written before it takes the place. Throws `invalid_request` for an id that cannot be one. */
export function successorName(name: string, id: string): string {
  if (SUCCESSOR_ID.test(id)) return name + MARK + id;
  throw new AppError(
    'invalid_request',
    `"${id}" cannot name a successor: use 1 to 64 letters, digits, "_" or "-"`,
  );
}

export const isSuccessorName = (collection: string): boolean => collection.includes(MARK);

function splitSuccessorName(collection: string): { name: string; id: string } {
  const at = collection.indexOf(MARK);
  return { name: collection.slice(0, at), id: collection.slice(at + 1) };
}

/** Throws `invalid_request`: what is written to a successor is seen when it takes the place, and at no other time. */
export function refuseRunsOfSuccessors(collection: string): void {
  if (!isSuccessorName(collection)) return;
  throw new AppError('invalid_request', `"${collection}" is a successor, and those have no runs`);
}

/** Whose pointer says where a collection or a successor is. */
export const pointerNameOf = (collection: string): string =>
  isSuccessorName(collection) ? splitSuccessorName(collection).name : collection;

export const hasTakenPlace = (pointer: CollectionPointer | null, id: string): boolean =>
  pointer?.successors.includes(id) ?? false;

/**
 * The place of a collection or of a successor, or null where a successor is none any more: a process that was left
 * behind must not write to it when it serves searches.
 *
 * @param pointer that of pointerNameOf(collection).
 */
export function placeOf(
  collection: string,
  { pointer, prefix }: { pointer: CollectionPointer | null; prefix: string },
): string | null {
  if (!isSuccessorName(collection)) return pointer?.place ?? prefix + collection;
  return hasTakenPlace(pointer, splitSuccessorName(collection).id) ? null : prefix + collection;
}

export function pointTo(
  place: string,
  { name, id, before }: { name: string; id: string; before: CollectionPointer | null },
): CollectionPointer {
  const successors = [...(before?.successors ?? []), id].slice(-REMEMBERED);
  return { name, place, switchedAt: new Date().toISOString(), successors };
}

/** Of all places in a store those that belong to a collection, its successors and what they replaced; never one made by others. */
export const placesOf = (name: string, places: readonly string[], prefix: string): string[] =>
  places.filter((place) => place === prefix + name || place.startsWith(prefix + name + MARK));

/** Of all places those that hold what this pointer's collection was before it was replaced. */
export function replacedPlaces(
  pointer: CollectionPointer,
  places: readonly string[],
  prefix: string,
): string[] {
  return placesOf(pointer.name, places, prefix).filter((place) => {
    const collection = place.slice(prefix.length);
    const isOver = !isSuccessorName(collection) || hasTakenPlace(pointer, splitSuccessorName(collection).id);
    return isOver && place !== pointer.place;
  });
}

/** Names of all collections: those with a place of their own, and those that a pointer leads to. */
export function collectionNames(
  places: readonly string[],
  { pointers, prefix }: { pointers: readonly CollectionPointer[]; prefix: string },
): string[] {
  const named = places
    .filter((place) => place.startsWith(prefix))
    .map((place) => place.slice(prefix.length))
    .filter((collection) => !isSuccessorName(collection));
  return [...new Set([...named, ...pointers.map(({ name }) => name)])];
}

/** Successors that have not taken their place. */
export function successorsAmong(
  places: readonly string[],
  { pointers, prefix }: { pointers: readonly CollectionPointer[]; prefix: string },
): { name: string; id: string }[] {
  return places
    .filter((place) => place.startsWith(prefix))
    .map((place) => place.slice(prefix.length))
    .filter(isSuccessorName)
    .map(splitSuccessorName)
    .filter(({ name, id }) => !hasTakenPlace(pointers.find((pointer) => pointer.name === name) ?? null, id));
}
