import type { CollectionSpaces, CollectionStamp, Successor } from '@embergate/vector-store/store.ts';
import { checkSpaces, newStamp } from '@embergate/vector-store/spaces.ts';
import * as names from '@embergate/vector-store/successor.ts';
import type { CollectionTables, FolderTables } from './collection-tables.ts';
import { collectionNotFound } from './failures.ts';
import { readStamp } from './chunk-table.ts';
import { createIndexes } from './maintenance.ts';
import { TABLE_PREFIX } from './pointers.ts';
import { chunkSchema } from './rows.ts';
import { createTable, dropTable, tableNames } from './table-folders.ts';

/** Collections as tables in a folder: how they appear, take another one's place, and go (vector-store/successor.ts). */
export class TableCollections {
  readonly #folder: FolderTables;
  readonly #tables: CollectionTables;

  constructor(folder: FolderTables, tables: CollectionTables) {
    this.#folder = folder;
    this.#tables = tables;
  }

  stampOf(collection: string): Promise<CollectionStamp> {
    return this.#tables.read(collection, (table) => readStamp(table, collection));
  }

  async create(collection: string, spaces: CollectionSpaces): Promise<void> {
    await this.#tables.guarded(collection, async () => {
      const name = await this.#folder.pointers.tableOf(collection);
      const schema = chunkSchema(newStamp(collection, spaces));
      await createTable({ path: this.#folder.path, name }, schema, createIndexes);
    });
  }

  async list(): Promise<string[]> {
    return names.collectionNames(await this.#places(), await this.#all());
  }

  async listSuccessors(): Promise<Successor[]> {
    const building = names.successorsAmong(await this.#places(), await this.#all());
    const found = building.map(async ({ name, id }) => {
      const stamp = await this.stampOf(names.successorName(name, id)).catch(() => null);
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
    if (names.hasTakenPlace(await this.#folder.pointers.of(name), id)) return 'replaced';
    await this.stampOf(name);
    await this.create(successor, spaces);
    checkSpaces(await this.stampOf(successor), spaces);
    return 'building';
  }

  async replaceBySuccessor(name: string, id: string): Promise<void> {
    const successor = names.successorName(name, id);
    const { pointers } = this.#folder;
    await this.#tables.guarded(name, async () => {
      const before = await pointers.of(name);
      if (names.hasTakenPlace(before, id)) return;
      for (const collection of [name, successor]) await this.stampOf(collection);
      await pointers.put(names.pointTo(await pointers.tableOf(successor), { name, id, before }));
    });
    this.#tables.forget(successor);
  }

  async dropSuccessor(name: string, id: string): Promise<'dropped' | 'replaced'> {
    const successor = names.successorName(name, id);
    return this.#tables.inTurn(successor, async () => {
      if (names.hasTakenPlace(await this.#folder.pointers.of(name), id)) return 'replaced';
      await dropTable(this.#folder.path, TABLE_PREFIX + successor);
      this.#tables.forget(successor);
      return 'dropped';
    });
  }

  /** The pointer goes last: without it, a table that was replaced would be the collection again. */
  async drop(name: string): Promise<void> {
    const { path, pointers, runs } = this.#folder;
    await this.#tables.inTurn(name, async () => {
      const places = names.placesOf(name, await this.#places(), TABLE_PREFIX);
      if (places.length === 0 && (await pointers.of(name)) === null) throw collectionNotFound(name);
      for (const place of places) await dropTable(path, place);
      await pointers.delete(name);
      await runs.deleteAll(name);
      this.#tables.forget(name);
    });
  }

  async removeReplaced(olderThanMs: number): Promise<void> {
    const { path, pointers } = this.#folder;
    await this.#tables.guarded(null, async () => {
      const places = await this.#places();
      for (const pointer of await pointers.all()) {
        if (Date.now() - Date.parse(pointer.switchedAt) < olderThanMs) continue;
        for (const place of names.replacedPlaces(pointer, places, TABLE_PREFIX)) {
          // Looked at again right before: the collection may have been dropped and made anew under that very name.
          const now = await pointers.of(pointer.name);
          if (now?.switchedAt === pointer.switchedAt) await dropTable(path, place);
        }
      }
    });
  }

  #places(): Promise<string[]> {
    return this.#tables.guarded(null, () => tableNames(this.#folder.path));
  }

  async #all(): Promise<{ pointers: names.CollectionPointer[]; prefix: string }> {
    const pointers = await this.#tables.guarded(null, () => this.#folder.pointers.all());
    return { pointers, prefix: TABLE_PREFIX };
  }
}
