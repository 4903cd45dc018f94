import type { Connection, Table } from '@lancedb/lancedb';
import type { RunRecord } from '@embergate/vector-store/store.ts';
import { hiddenRuns, type HiddenRuns } from '@embergate/vector-store/visibility.ts';
import { SmallTable } from './small-table.ts';

const NAME = 'embergate_runs';
const COLUMNS = ['id', 'collection', 'repo', 'state', 'commit', 'startedAt', 'finishedAt'] as const;

type Row = { [Column in (typeof COLUMNS)[number]]: RunRecord[Column] };

const keyOf = (collection: string, runId: string): string => `${collection}/${runId}`;

/** The run records of all collections in one small table. */
export class RunRecords {
  readonly #records: SmallTable<Row>;

  private constructor(records: SmallTable<Row>) {
    this.#records = records;
  }

  static async open(path: string, connection: Connection): Promise<RunRecords> {
    const nullable = ['commit', 'finishedAt'];
    return new RunRecords(await SmallTable.open<Row>({ path, connection, name: NAME }, COLUMNS, nullable));
  }

  get table(): Table {
    return this.#records.table;
  }

  async put(run: RunRecord): Promise<void> {
    await this.#records.put(keyOf(run.collection, run.id), { ...run });
  }

  async delete(collection: string, runId: string): Promise<void> {
    await this.#records.delete('key', keyOf(collection, runId));
  }

  async deleteAll(collection: string): Promise<void> {
    await this.#records.delete('collection', collection);
  }

  async list(collection: string): Promise<RunRecord[]> {
    const runs = await this.#records.read();
    return runs.filter((run) => run.collection === collection).map((run) => ({ ...run }));
  }

  async hidden(collection: string): Promise<HiddenRuns> {
    return hiddenRuns(await this.list(collection));
  }
}
