import { Field, Schema, Utf8 } from 'apache-arrow';
import type { Connection, Table } from '@lancedb/lancedb';
import type { RunRecord } from '@embergate/vector-store/store.ts';
import { hiddenRuns, type HiddenRuns } from '@embergate/vector-store/visibility.ts';
import { retryingConflicts } from './failures.ts';
import { KEY_COLUMN } from './rows.ts';
import { sqlString } from './sql.ts';
import { createTable } from './table-folders.ts';

const RUNS_TABLE = 'embergate_runs';

const COLUMNS = ['id', 'collection', 'repo', 'state', 'commit', 'startedAt', 'finishedAt'] as const;

const keyOf = (collection: string, runId: string): string => `${collection}/${runId}`;

/** A record of these seven fields and no others, whatever object they come in. */
function recordOf({ id, collection, repo, state, commit, startedAt, finishedAt }: RunRecord): RunRecord {
  return { id, collection, repo, state, commit, startedAt, finishedAt };
}

/**
 * The run records of all collections in one small table.
 *
 * Every search needs them, from a table that other processes write. Reading it costs a millisecond, asking for its
 * version a fiftieth of that, and each write makes a new version: so the records are kept with the version they were
 * read at.
 */
export class RunRecords {
  readonly #table: Table;
  #known: { version: number; runs: RunRecord[] } | null = null;

  private constructor(table: Table) {
    this.#table = table;
  }

  static async open(path: string, connection: Connection): Promise<RunRecords> {
    const column = (name: string): Field =>
      new Field(name, new Utf8(), name === 'commit' || name === 'finishedAt');
    const schema = new Schema([new Field('key', new Utf8(), false, KEY_COLUMN), ...COLUMNS.map(column)]);
    await createTable({ path, name: RUNS_TABLE }, schema);
    return new RunRecords(await connection.openTable(RUNS_TABLE));
  }

  /** The table, for what keeps tables small. */
  get table(): Table {
    return this.#table;
  }

  async put(run: RunRecord): Promise<void> {
    const row = { key: keyOf(run.collection, run.id), ...recordOf(run) };
    await retryingConflicts(() =>
      this.#table.mergeInsert('key').whenMatchedUpdateAll().whenNotMatchedInsertAll().execute([row]),
    );
  }

  async delete(collection: string, runId: string): Promise<void> {
    await retryingConflicts(() => this.#table.delete(`key = ${sqlString(keyOf(collection, runId))}`));
  }

  async deleteAll(collection: string): Promise<void> {
    await retryingConflicts(() => this.#table.delete(`collection = ${sqlString(collection)}`));
  }

  async list(collection: string): Promise<RunRecord[]> {
    const runs = await this.#read();
    return runs.filter((run) => run.collection === collection).map((run) => ({ ...run }));
  }

  async hidden(collection: string): Promise<HiddenRuns> {
    return hiddenRuns(await this.list(collection));
  }

  async #read(): Promise<RunRecord[]> {
    // Asked before reading: a write in between is then read twice, and never missed.
    const version = await this.#table.version();
    if (this.#known?.version === version) return this.#known.runs;
    const rows = (await this.#table
      .query()
      .select([...COLUMNS])
      .toArray()) as RunRecord[];
    const runs = rows.map(recordOf);
    this.#known = { version, runs };
    return runs;
  }
}
