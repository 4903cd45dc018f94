import type { QdrantSource } from '@embergate/contracts/adoption.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import type { SkippedFile } from '@embergate/contracts/index-job.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import type {
  ForeignCollections,
  ForeignPoint,
  ForeignVector,
} from '@embergate/vector-store/foreign-collections.ts';
import type { ChunkPage, ChunkSource, SourceChunk } from './chunk-source.ts';
import { foreignChunk, foreignHash, repoOf } from './foreign-chunks.ts';

/** Points that are fetched at once: 64 of 3,584 numbers are some 5 MB of JSON. */
const PAGE_POINTS = 64;
/** float16 rounds the length of a vector by less than a thousandth. */
const LENGTH_TOLERANCE = 0.01;

export interface ForeignSourceParts {
  foreign: ForeignCollections;
  /** The repo of the job: only its points are read. */
  repo: string;
  space: EmbeddingSpace;
}

/**
 * The points of a repo in a collection that another program filled, as chunks that have their vectors. A point without text
 * or vector is left out and named. The collection may be written to meanwhile: what is read is a state that
 * each point had at some moment of the run.
 */
export class ForeignSource implements ChunkSource {
  readonly repeated = 'same';
  readonly #source: QdrantSource;
  readonly #parts: ForeignSourceParts;
  readonly #vector: ForeignVector;
  readonly #points: number;

  private constructor(
    source: QdrantSource,
    parts: ForeignSourceParts,
    found: { vector: ForeignVector; points: number },
  ) {
    this.#source = source;
    this.#parts = parts;
    this.#vector = found.vector;
    this.#points = found.points;
  }

  /** @throws AppError `source_not_found`, `space_mismatch`, `vectors_invalid`, and those of the store. */
  static async open(source: QdrantSource, parts: ForeignSourceParts): Promise<ForeignSource> {
    const { points, vectors } = await parts.foreign.describe(source.collection);
    const vector = vectors.find(({ name }) => name === source.vector);
    const wrong = vectorProblem(vector, { declared: source.space, space: parts.space });
    if (wrong) throw wrong;
    if (vector === undefined) throw invalid(`${source.collection} has no vector.`);
    return new ForeignSource(source, parts, { vector, points });
  }

  /** In points, as pages count them too. */
  sizeBytes(): Promise<number> {
    return Promise.resolve(this.#points);
  }

  async *read(): AsyncGenerator<ChunkPage | SkippedFile, void, undefined> {
    let lastPath = '';
    for await (const { points, passed } of this.#pages()) {
      const chunks: SourceChunk[] = [];
      for (const point of points) {
        const chunk = this.#chunkOf(point);
        if ('reason' in chunk) yield chunk;
        else chunks.push(chunk);
      }
      let files = 0;
      for (const { path } of chunks) {
        if (path !== lastPath) files += 1;
        lastPath = path;
      }
      yield { chunks, files, bytes: passed };
    }
  }

  async expectUnchanged(): Promise<void> {
    const { vectors } = await this.#parts.foreign.describe(this.#source.collection);
    const same = vectors.some(
      ({ name, dimensions }) => name === this.#vector.name && dimensions === this.#vector.dimensions,
    );
    if (!same)
      throw invalid(`${this.#source.collection} is no longer what was read: its vectors are others now.`);
  }

  async close(): Promise<void> {}

  /** Vectors travel only for the points of the repo: which these are is read first, where payloads name one. */
  async *#pages(): AsyncGenerator<{ points: ForeignPoint[]; passed: number }> {
    const { foreign, repo } = this.#parts;
    const { collection, fields } = this.#source;
    const wish = {
      vector: this.#vector,
      fields: Object.values(fields).filter((field) => field !== undefined),
    };
    if (fields.repo === undefined) {
      for await (const points of foreign.points(collection, wish)) yield { points, passed: points.length };
      return;
    }
    for await (const page of foreign.points(collection, { fields: [fields.repo] })) {
      const ids = page.filter(({ payload }) => this.#repoOf(payload) === repo).map(({ id }) => id);
      for (let at = 0; at < ids.length; at += PAGE_POINTS) {
        const points = await foreign.byId(collection, ids.slice(at, at + PAGE_POINTS), wish);
        yield { points, passed: 0 };
      }
      yield { points: [], passed: page.length };
    }
  }

  #repoOf(payload: ForeignPoint['payload']): string {
    return repoOf(payload, this.#source.fields) ?? this.#source.defaultRepo;
  }

  #chunkOf(point: ForeignPoint): SourceChunk | SkippedFile {
    const { fields, lexical } = this.#source;
    const { vector } = point;
    if (vector === null) return { path: `point ${point.id}`, reason: `has no vector ${this.#vector.name}` };
    const chunk = foreignChunk(point, fields);
    if ('reason' in chunk) return chunk;
    const length = lengthOf(vector);
    if (!fits(length, this.#parts.space)) throw wrongLength(`point ${point.id}`, length);
    const hash = foreignHash(chunk.text, { vector, lexical });
    return { ...chunk, kind: null, embeddedText: chunk.text, embeddedHash: hash, vector, lexical };
  }
}

export const lengthOf = (vector: Float32Array): number => {
  let squares = 0;
  for (const value of vector) squares += value * value;
  return Math.sqrt(squares);
};

/** Whether a vector may be of the space, by its length. */
export const fits = (length: number, space: EmbeddingSpace): boolean =>
  Number.isFinite(length) && (!space.normalize || Math.abs(length - 1) <= LENGTH_TOLERANCE);

export const wrongLength = (what: string, length: number): AppError =>
  invalid(
    `The vector of ${what} has the length ${length.toFixed(4)} and should have 1: it was not normalised, or another model made it.`,
  );

/** Why vectors like these are none of the space; null where they may be. */
export function vectorProblem(
  vector: ForeignVector | undefined,
  { declared, space }: { declared: string; space: EmbeddingSpace },
): AppError | null {
  if (declared !== spaceId(space))
    return new AppError(
      'space_mismatch',
      `The vectors are of ${declared}, and this deployment's are of ${spaceId(space)}.`,
    );
  if (vector === undefined) return invalid('The collection has no dense vector of that name.');
  if (vector.datatype === 'uint8')
    return invalid('The vectors are of whole numbers, which no model of ours makes.');
  if (vector.dimensions === space.dimensions) return null;
  return new AppError(
    'space_mismatch',
    `The vectors have ${vector.dimensions} dimensions, those of ${spaceId(space)} have ${space.dimensions}: another model made them.`,
  );
}

const invalid = (message: string): AppError => new AppError('vectors_invalid', message);
