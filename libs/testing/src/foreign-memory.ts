import { AppError } from '@embergate/contracts/errors.ts';
import type {
  ForeignCollections,
  ForeignPoint,
  ForeignVector,
  ForeignWish,
} from '@embergate/vector-store/foreign-collections.ts';

export interface MemoryCollection {
  vectors: ForeignVector[];
  points: ForeignPoint[];
}

/** Collections of others in memory: a stand-in for a Qdrant, whose own adapter is tested where there is one. */
export function foreignInMemory(
  collections: Record<string, MemoryCollection>,
  { pageSize = 7 } = {},
): ForeignCollections {
  const find = (name: string): MemoryCollection => {
    const found = collections[name];
    if (found) return found;
    throw new AppError('source_not_found', `There is no collection "${name}"`);
  };
  const seen = (point: ForeignPoint, { vector }: ForeignWish): ForeignPoint => ({
    ...point,
    vector: vector === undefined ? null : point.vector,
  });
  return {
    describe: async (name) => {
      const { vectors, points } = find(name);
      return { name, vectors, points: points.length };
    },
    sample: async (name, limit, wish) =>
      find(name)
        .points.slice(0, limit)
        .map((point) => seen(point, wish)),
    async *points(name, wish) {
      const { points } = find(name);
      for (let at = 0; at < points.length; at += pageSize)
        yield points.slice(at, at + pageSize).map((point) => seen(point, wish));
    },
    byId: async (name, ids, wish) =>
      find(name)
        .points.filter(({ id }) => ids.includes(id))
        .map((point) => seen(point, wish)),
  };
}
