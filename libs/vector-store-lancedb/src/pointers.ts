import type { Connection, Table } from '@lancedb/lancedb';
import { placeOf, pointerNameOf, type CollectionPointer } from '@embergate/vector-store/successor.ts';
import { collectionNotFound } from './failures.ts';
import { SmallTable } from './small-table.ts';

const NAME = 'embergate_pointers';
/** Of the tables that hold rows, and of nothing else in the folder. */
export const TABLE_PREFIX = 'chunks_';

interface Row extends Record<string, string> {
  name: string;
  /** JSON, so that a pointer can say more one day. */
  pointer: string;
}

/**
 * Which table holds a collection's rows. A table that has been replaced keeps its name until it is dropped, and its
 * successor has another one: processes that have a table open know it by its path, and would mix the files of two.
 */
export class Pointers {
  readonly #records: SmallTable<Row>;

  private constructor(records: SmallTable<Row>) {
    this.#records = records;
  }

  static async open(path: string, connection: Connection): Promise<Pointers> {
    return new Pointers(await SmallTable.open<Row>({ path, connection, name: NAME }, ['name', 'pointer']));
  }

  get table(): Table {
    return this.#records.table;
  }

  async all(): Promise<CollectionPointer[]> {
    return (await this.#records.read()).map(({ pointer }) => JSON.parse(pointer) as CollectionPointer);
  }

  async of(name: string): Promise<CollectionPointer | null> {
    const row = (await this.#records.read()).find((record) => record.name === name);
    return row === undefined ? null : (JSON.parse(row.pointer) as CollectionPointer);
  }

  /** The table of a collection or a successor, whether it exists or not. Throws `collection_not_found` for a successor that is none any more. */
  async tableOf(collection: string): Promise<string> {
    const pointer = await this.of(pointerNameOf(collection));
    const place = placeOf(collection, { pointer, prefix: TABLE_PREFIX });
    if (place === null) throw collectionNotFound(collection);
    return place;
  }

  async put(pointer: CollectionPointer): Promise<void> {
    await this.#records.put(pointer.name, { name: pointer.name, pointer: JSON.stringify(pointer) });
  }

  async delete(name: string): Promise<void> {
    await this.#records.delete('key', name);
  }
}
