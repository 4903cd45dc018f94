import { Field, Schema, Utf8 } from 'apache-arrow';
import type { Connection, Table } from '@lancedb/lancedb';
import { retryingConflicts } from './failures.ts';
import { KEY_COLUMN } from './rows.ts';
import { sqlString } from './sql.ts';
import { createTable } from './table-folders.ts';

/**
 * A few records by a key, in a table of text columns that other processes write too.
 *
 * Every search needs them. Reading them costs a millisecond, asking for the table's version a fiftieth of that, and each
 * write makes a new version: so the records are kept with the version they were read at.
 */
export class SmallTable<Row extends Record<string, string | null>> {
  readonly #table: Table;
  readonly #columns: readonly (keyof Row & string)[];
  #known: { version: number; rows: Row[] } | null = null;

  private constructor(table: Table, columns: readonly (keyof Row & string)[]) {
    this.#table = table;
    this.#columns = columns;
  }

  /** @param nullable those of the columns that may hold null. */
  static async open<Row extends Record<string, string | null>>(
    { path, connection, name }: { path: string; connection: Connection; name: string },
    columns: readonly (keyof Row & string)[],
    nullable: readonly string[] = [],
  ): Promise<SmallTable<Row>> {
    const fields = columns.map((column) => new Field(column, new Utf8(), nullable.includes(column)));
    const schema = new Schema([new Field('key', new Utf8(), false, KEY_COLUMN), ...fields]);
    await createTable({ path, name }, schema);
    return new SmallTable<Row>(await connection.openTable(name), columns);
  }

  /** The table, for what keeps tables small. */
  get table(): Table {
    return this.#table;
  }

  async put(key: string, row: Row): Promise<void> {
    const written = { key, ...this.#plain(row) };
    await retryingConflicts(() =>
      this.#table.mergeInsert('key').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute([written]),
    );
  }

  async delete(column: 'key' | (keyof Row & string), value: string): Promise<void> {
    await retryingConflicts(() => this.#table.delete(`${column} = ${sqlString(value)}`));
  }

  /** All records as they are now; not to be changed. */
  async read(): Promise<readonly Row[]> {
    // Asked before reading: a write in between is then read twice, and never missed.
    const version = await this.#table.version();
    if (this.#known?.version === version) return this.#known.rows;
    const rows = (await this.#table
      .query()
      .select([...this.#columns])
      .toArray()) as Row[];
    this.#known = { version, rows: rows.map((row) => this.#plain(row)) };
    return this.#known.rows;
  }

  /** These columns and no others, whatever object they come in. */
  #plain(row: Row): Row {
    return Object.fromEntries(this.#columns.map((column) => [column, row[column]])) as unknown as Row;
  }
}
