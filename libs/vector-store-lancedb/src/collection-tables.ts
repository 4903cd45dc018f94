import type { Connection, Table } from '@lancedb/lancedb';
import { AppError } from '@embergate/contracts/errors.ts';
import type { SearchOptions } from '@embergate/vector-store/store.ts';
import { readVisibly } from '@embergate/vector-store/visibility.ts';
import { collectionNotFound, isTableNotFound, retryingConflicts, toStoreError } from './failures.ts';
import type { Pointers } from './pointers.ts';
import type { RunRecords } from './run-records.ts';
import { searchCondition } from './sql.ts';

export interface FolderTables {
  /** The folder of all tables. */
  path: string;
  connection: Connection;
  runs: RunRecords;
  pointers: Pointers;
}

/** Reads and writes on the tables of collections: which table it is, its open handle, one write after the other, failures as codes. */
export class CollectionTables {
  readonly #folder: FolderTables;
  /** By collection: the table that it was last found in. */
  readonly #open = new Map<string, { place: string; table: Promise<Table> }>();
  /** The last write of each collection. Writes of one process take turns: only other processes are worth a retry. */
  readonly #writes = new Map<string, Promise<unknown>>();

  constructor(folder: FolderTables) {
    this.#folder = folder;
  }

  read<T>(collection: string, work: (table: Table) => Promise<T>): Promise<T> {
    return this.guarded(collection, async () => work(await this.#table(collection)));
  }

  /** Rows and the runs that hide some of them, as of one moment. */
  readVisible<T>(
    collection: string,
    { filter = {}, ...how }: Partial<Omit<SearchOptions, 'limit'>>,
    read: (table: Table, condition: string | null) => Promise<T>,
  ): Promise<T> {
    return this.read(collection, (table) =>
      readVisibly(
        () => this.#folder.runs.hidden(collection),
        (hidden) => read(table, searchCondition(hidden, filter)),
        how,
      ),
    );
  }

  /**
   * Pages from the version of the table that there is when the first one is asked for. It is kept for as long as replaced data is: who reads
   * them must not wait between them.
   */
  async *pages<T>(collection: string, open: (table: Table) => AsyncGenerator<T>): AsyncGenerator<T> {
    const pages = await this.read(collection, async (table) => open(table));
    try {
      for (;;) {
        const page = await this.guarded(collection, () => pages.next());
        if (page.done === true) return;
        yield page.value;
      }
    } finally {
      // Who has read enough leaves it here.
      await pages.return(undefined);
    }
  }

  /** One write after the other in this process; conflicts with other processes are tried again. */
  write<T>(collection: string, work: (table: Table) => Promise<T>): Promise<T> {
    return this.inTurn(collection, () =>
      this.read(collection, (table) => retryingConflicts(() => work(table))),
    );
  }

  /** After all writes to a collection that have begun in this process. */
  inTurn<T>(collection: string, work: () => Promise<T>): Promise<T> {
    const before = this.#writes.get(collection);
    const turn = Promise.resolve(before)
      .catch(() => undefined)
      .then(() => this.guarded(collection, work));
    this.#writes.set(collection, turn);
    return turn;
  }

  /** Failures as codes. Whatever failed, the next call starts with a fresh handle. */
  async guarded<T>(collection: string | null, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (collection === null || error instanceof AppError) throw toStoreError(error);
      this.forget(collection);
      throw isTableNotFound(error) ? collectionNotFound(collection, error) : toStoreError(error);
    }
  }

  /** Opens the collection's table anew at the next call. */
  forget(collection: string): void {
    this.#open.delete(collection);
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#writes.values());
    const tables = await Promise.allSettled([...this.#open.values()].map(({ table }) => table));
    for (const table of tables) if (table.status === 'fulfilled') table.value.close();
  }

  async #table(collection: string): Promise<Table> {
    const place = await this.#folder.pointers.tableOf(collection);
    const known = this.#open.get(collection);
    if (known?.place === place) return known.table;
    // A handle of what was replaced is left to those who read from it.
    const table = this.#folder.connection.openTable(place);
    this.#open.set(collection, { place, table });
    return table;
  }
}
