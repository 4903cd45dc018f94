import { readableStamps } from '@embergate/vector-store/readable-stamps.ts';
import { checkSpaces } from '@embergate/vector-store/spaces.ts';
import type {
  CollectionSpaces,
  CollectionStamp,
  OnUnreadable,
  Successor,
} from '@embergate/vector-store/store.ts';
import * as names from '@embergate/vector-store/successor.ts';
import { createChunkCollection, placesIn, readStamp } from './collections.ts';
import { collectionNotFound } from './failures.ts';
import { PREFIX } from './pointers.ts';
import type { Quantization } from './quantization.ts';
import type { RemoteCalls } from './remote-calls.ts';
import { createRunsCollection, deleteRunPoints } from './run-points.ts';

/** Collections of chunks in a Qdrant: how they appear, take another one's place, and go (vector-store/successor.ts). */
export class RemoteCollections {
  readonly #calls: RemoteCalls;
  readonly #quantization: Quantization;

  constructor(calls: RemoteCalls, quantization: Quantization) {
    this.#calls = calls;
    this.#quantization = quantization;
  }

  stampOf(collection: string): Promise<CollectionStamp> {
    return this.#calls.read(collection, (place) => readStamp(this.#calls.reading, place, collection));
  }

  /** The same for a writer: not what the collection was a moment ago. */
  stampNow(collection: string): Promise<CollectionStamp> {
    return this.#calls.write(collection, (place) => readStamp(this.#calls.reading, place, collection));
  }

  async create(collection: string, spaces: CollectionSpaces): Promise<void> {
    const { writing } = this.#calls;
    const { quantization } = this.#quantization;
    await this.#calls.write(collection, async (place) => {
      await createRunsCollection(writing);
      await createChunkCollection(writing, place, { name: collection, quantization, ...spaces });
    });
  }

  async list(onUnreadable?: OnUnreadable): Promise<CollectionStamp[]> {
    const collections = names.collectionNames(await this.#places(), await this.#all());
    const stampOf = (name: string): Promise<CollectionStamp | null> => this.#stampIfThere(name);
    return readableStamps(collections, { stampOf, onUnreadable });
  }

  async listSuccessors(): Promise<Successor[]> {
    const building = names.successorsAmong(await this.#places(), await this.#all());
    const found = building.map(async ({ name, id }) => {
      const stamp = await this.#stampIfThere(names.successorName(name, id));
      return stamp === null ? [] : [{ name, id, createdAt: stamp.createdAt }];
    });
    return (await Promise.all(found)).flat();
  }

  async createSuccessor(
    name: string,
    id: string,
    spaces: CollectionSpaces,
  ): Promise<'building' | 'replaced'> {
    const successor = names.successorName(name, id);
    if (names.hasTakenPlace(await this.#pointerOf(name), id)) return 'replaced';
    await this.stampNow(name);
    await this.#calls.call(null, () => this.#calls.pointers.createCollection());
    await this.create(successor, spaces);
    checkSpaces(await this.stampNow(successor), spaces);
    return 'building';
  }

  async replaceBySuccessor(name: string, id: string): Promise<void> {
    const successor = names.successorName(name, id);
    const before = await this.#pointerOf(name);
    if (names.hasTakenPlace(before, id)) return;
    for (const collection of [name, successor]) await this.stampNow(collection);
    await this.#calls.write(successor, (place) =>
      this.#calls.pointers.put(names.pointTo(place, { name, id, before })),
    );
  }

  async dropSuccessor(name: string, id: string): Promise<'dropped' | 'replaced'> {
    const successor = names.successorName(name, id);
    if (names.hasTakenPlace(await this.#pointerOf(name), id)) return 'replaced';
    await this.#drop(PREFIX + successor);
    return 'dropped';
  }

  /** The pointer goes last: without it, a collection that was replaced would be there again. */
  async drop(name: string): Promise<void> {
    const places = names.placesOf(name, await this.#places(), PREFIX);
    if (places.length === 0 && (await this.#pointerOf(name)) === null) throw collectionNotFound(name);
    // Those of others stay.
    if (places.includes(PREFIX + name))
      await this.#calls.call(name, () => readStamp(this.#calls.reading, PREFIX + name, name));
    for (const place of places) await this.#drop(place);
    await this.#calls.call(null, () => this.#calls.pointers.delete(name));
    await this.#calls.call(name, () => deleteRunPoints(this.#calls.writing, name));
  }

  async removeReplaced(olderThanMs: number): Promise<void> {
    const { pointers } = await this.#all();
    if (pointers.length === 0) return;
    const places = await this.#places();
    for (const pointer of pointers) {
      if (Date.now() - Date.parse(pointer.switchedAt) < olderThanMs) continue;
      for (const place of names.replacedPlaces(pointer, places, PREFIX)) {
        // Looked at again right before: the collection may have been dropped and made anew under that very name.
        const now = await this.#pointerOf(pointer.name);
        if (now?.switchedAt === pointer.switchedAt) await this.#drop(place);
      }
    }
  }

  /** One that is not there is left at that. */
  async #drop(place: string): Promise<void> {
    await this.#calls.call(null, () => this.#calls.writing.deleteCollection(place));
  }

  async #stampIfThere(collection: string): Promise<CollectionStamp | null> {
    return this.stampOf(collection).catch((error: unknown) => {
      // Somebody else's collection may have a name that begins as ours do.
      const { code } = error as { code?: unknown };
      if (code === 'collection_not_found' || code === 'collection_foreign') return null;
      throw error;
    });
  }

  #pointerOf(name: string): Promise<names.CollectionPointer | null> {
    return this.#calls.call(null, () => this.#calls.pointers.of(name));
  }

  #places(): Promise<string[]> {
    return this.#calls.call(null, () => placesIn(this.#calls.reading));
  }

  async #all(): Promise<{ pointers: names.CollectionPointer[]; prefix: string }> {
    const pointers = await this.#calls.call(null, () => this.#calls.pointers.all());
    return { pointers, prefix: PREFIX };
  }
}
