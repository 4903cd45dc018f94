/** A collection that another program filled, as it says of itself. */
export interface ForeignCollection {
  name: string;
  points: number;
  /** Its dense vectors, one a point; the name is empty where there is only one without a name. */
  vectors: ForeignVector[];
}

export interface ForeignVector {
  name: string;
  dimensions: number;
  /** In the store's words: `Cosine`, `Dot`, ... */
  distance: string;
  /** `float32`, `float16`, `uint8`, ... */
  datatype: string;
}

export interface ForeignPoint {
  id: string | number;
  payload: Record<string, unknown>;
  /** Null where it was not asked for, or the point has none. */
  vector: Float32Array | null;
}

/** What of the points is read: a vector by its name, and payload fields by their way (`metadata.path`); all of them by default. */
export interface ForeignWish {
  vector?: ForeignVector;
  fields?: string[];
}

/**
 * Collections of a vector database that Embergate did not fill. Only ever read.
 *
 * Errors: `source_not_found` for an unknown collection; `store_down`, `store_busy`, `store_denied`, `store_refused`.
 */
export interface ForeignCollections {
  describe(name: string): Promise<ForeignCollection>;
  /** Some points, others each time. */
  sample(name: string, limit: number, wish: ForeignWish): Promise<ForeignPoint[]>;
  /** All points in the order of their ids, in pages that fit into memory. */
  points(name: string, wish: ForeignWish): AsyncGenerator<ForeignPoint[], void, undefined>;
  /** Points by their ids, a few hundred at most; those that are gone are left out. */
  byId(name: string, ids: ForeignPoint['id'][], wish: ForeignWish): Promise<ForeignPoint[]>;
}
