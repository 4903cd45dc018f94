import type { QdrantClient } from '@qdrant/js-client-rest';
import { placeOf, pointerNameOf, type CollectionPointer } from '@embergate/vector-store/successor.ts';
import { collectionNotFound, describeFailure } from './failures.ts';
import { pointId } from './points.ts';

/** Pointers lie in a collection without vectors, which is made when the first collection is to be replaced. */
const POINTERS_COLLECTION = 'embergate_pointers';
/** Collections of others in the same Qdrant are not ours to list. */
export const PREFIX = 'embergate_chunks_';
/** How long a search may go on reading what has been replaced, which is there for longer than that. */
const READERS_MS = 1_000;
const PAGE = 1_000;

/** Null where nothing has ever been replaced. */
async function orNone<T>(request: Promise<T>): Promise<T | null> {
  return request.catch((error: unknown) => {
    if (describeFailure(error).status === 404) return null;
    throw error;
  });
}

/** Which of Qdrant's collections holds a collection's rows. An alias can't say it: what exists can't give its name to one. */
export class Pointers {
  readonly #client: QdrantClient;
  readonly #known = new Map<string, { pointer: CollectionPointer | null; at: number }>();

  constructor(client: QdrantClient) {
    this.#client = client;
  }

  async of(name: string): Promise<CollectionPointer | null> {
    const request = this.#client.retrieve(POINTERS_COLLECTION, { ids: [pointId(name)], with_payload: true });
    const pointer = ((await orNone(request))?.[0]?.payload ?? null) as CollectionPointer | null;
    this.#known.set(name, { pointer, at: performance.now() });
    return pointer;
  }

  async all(): Promise<CollectionPointer[]> {
    const pointers: CollectionPointer[] = [];
    let offset: string | number | null = null;
    do {
      const request = { limit: PAGE, with_payload: true, ...(offset !== null && { offset }) };
      const page = await orNone(this.#client.scroll(POINTERS_COLLECTION, request));
      if (page === null) break;
      pointers.push(...page.points.map(({ payload }) => payload as unknown as CollectionPointer));
      offset = (page.next_page_offset ?? null) as string | number | null;
    } while (offset !== null);
    return pointers;
  }

  /** Qdrant's name for a collection or a successor. Throws `collection_not_found` for a successor that is none any more. */
  async placeOf(collection: string): Promise<string> {
    return place(collection, await this.of(pointerNameOf(collection)));
  }

  /** The same for a search, from memory where it was asked a moment ago. */
  async placeForReading(collection: string): Promise<string> {
    const name = pointerNameOf(collection);
    const known = this.#known.get(name);
    const isFresh = known !== undefined && performance.now() - known.at < READERS_MS;
    return place(collection, isFresh ? known.pointer : await this.of(name));
  }

  forget(collection: string): void {
    this.#known.delete(pointerNameOf(collection));
  }

  async createCollection(): Promise<void> {
    const { exists } = await this.#client.collectionExists(POINTERS_COLLECTION);
    if (exists) return;
    await this.#client.createCollection(POINTERS_COLLECTION, { vectors: {} }).catch((error: unknown) => {
      // Another process was faster.
      if (describeFailure(error).status !== 409) throw error;
    });
  }

  /** Qdrant replaces a point in one step. */
  async put(pointer: CollectionPointer): Promise<void> {
    const point = { id: pointId(pointer.name), vector: {}, payload: { ...pointer } };
    await this.#client.upsert(POINTERS_COLLECTION, { wait: true, points: [point] });
    this.forget(pointer.name);
  }

  async delete(name: string): Promise<void> {
    await orNone(this.#client.delete(POINTERS_COLLECTION, { wait: true, points: [pointId(name)] }));
    this.forget(name);
  }
}

function place(collection: string, pointer: CollectionPointer | null): string {
  const found = placeOf(collection, { pointer, prefix: PREFIX });
  if (found === null) throw collectionNotFound(collection);
  return found;
}
