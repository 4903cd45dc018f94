import type { Alignment, AlignmentReference } from '@embergate/contracts/alignment.ts';
import { cosine, dot } from './cosine.ts';

/** Below either a variant takes no work; 0 switches one off. */
export interface AlignmentFloors {
  cosine: number;
  overlap: number;
}

/** As many results as people look at. */
const NEIGHBOURS = 10;
/** Among fewer one that is swapped for its like weighs too much. */
const LEAST_NEIGHBOURS = 5;

/**
 * Compares vectors that a variant has just made of the canary texts with the vectors that collections hold of them.
 *
 *   cosine  = median over the canaries of cos(own, held)
 *   overlap = mean over the canaries of |nearest_k(own) ∩ nearest_k(held)| / k
 *
 * among the rest of the sample, with k = 10, or half of the rest where that is less, and no overlap at all below k = 5. The median, because a few of the held vectors may be
 * of other texts than it seems (an index made long ago), while a wrong variant is wrong on all texts.
 * @param own canaries x dimensions, row by row.
 */
export function measureAlignment(reference: AlignmentReference, own: Float32Array): Alignment {
  return { cosine: median(cosinesOf(reference, own)), overlap: overlapOf(reference, own) };
}

/** Null where the sample is too small to have neighbours. */
function overlapOf({ dimensions, canaries, sample }: AlignmentReference, own: Float32Array): number | null {
  const rows = Array.from({ length: sample.length / dimensions }, (_, at) => rowOf(sample, at, dimensions));
  const half = Math.floor((rows.length - 1) / 2);
  if (half < LEAST_NEIGHBOURS) return null;
  const k = Math.min(NEIGHBOURS, half);
  const lengths = rows.map(lengthOf);
  const nearest = (vector: Float32Array, self: number): Set<number> => {
    const scores = rows.map((row, at) => (at === self ? -Infinity : dot(vector, row) / (lengths[at] || 1)));
    const order = [...rows.keys()].sort((x, y) => (scores[y] as number) - (scores[x] as number));
    return new Set(order.slice(0, k));
  };
  let shared = 0;
  for (let at = 0; at < canaries.length; at++) {
    const ofMine = nearest(rowOf(own, at, dimensions), at);
    const ofHeld = nearest(rowOf(sample, at, dimensions), at);
    shared += [...ofHeld].filter((row) => ofMine.has(row)).length / k;
  }
  return shared / canaries.length;
}

/**
 * Collections whose own texts, all together, are below the floor: while others agree, it is their vectors that are wrong, and not the variant's.
 */
export function strangeCollections(
  reference: AlignmentReference,
  own: Float32Array,
  floors: AlignmentFloors,
): string[] {
  const cosines = cosinesOf(reference, own);
  const byCollection = Map.groupBy(
    reference.canaries.keys(),
    (at) => reference.canaries[at]?.collection ?? '',
  );
  return [...byCollection].flatMap(([name, places]) =>
    median(places.map((at) => cosines[at] ?? 0)) < floors.cosine ? [name] : [],
  );
}

/** Of each canary's vector and the one that is held of it. */
export function cosinesOf({ dimensions, canaries, sample }: AlignmentReference, own: Float32Array): number[] {
  return canaries.map((_, at) => {
    return cosine(rowOf(own, at, dimensions), rowOf(sample, at, dimensions));
  });
}

/** Whether a variant may work for the collections that it was compared with. */
export const isAligned = (measured: Alignment, floors: AlignmentFloors): boolean =>
  (measured.cosine >= floors.cosine || floors.cosine === 0) && (measured.overlap ?? 1) >= floors.overlap;

const rowOf = (rows: Float32Array, at: number, dimensions: number): Float32Array =>
  rows.subarray(at * dimensions, (at + 1) * dimensions);

const lengthOf = (vector: Float32Array): number => Math.sqrt(dot(vector, vector));

function median(values: readonly number[]): number {
  const sorted = values.toSorted((x, y) => x - y);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] as number) + (sorted[Math.ceil(middle)] as number)) / 2;
}
