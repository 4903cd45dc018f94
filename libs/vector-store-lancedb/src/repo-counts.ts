import type { Table } from '@lancedb/lancedb';
import type { RepoCount } from '@embergate/vector-store/store.ts';
import { countRowsByRepo, readStamp } from './chunk-table.ts';

/** Counts by repo, each a scan of the whole table, and asked for by every open page of operations: kept until something changes. */
export class RepoCounts {
  readonly #known = new Map<string, { of: string; repos: RepoCount[] }>();

  /** @param which SQL of the rows to be counted, null for all; beside the condition of those that are visible. */
  async of(
    table: Table,
    collection: string,
    { condition, which }: { condition: string | null; which: string | null },
  ): Promise<RepoCount[]> {
    const { createdAt } = await readStamp(table, collection);
    const of = JSON.stringify([createdAt, await table.version(), condition]);
    const key = JSON.stringify([collection, which]);
    const known = this.#known.get(key);
    const repos = known?.of === of ? known.repos : await countRowsByRepo(table, [condition, which]);
    this.#known.set(key, { of, repos });
    return repos.map((count) => ({ ...count }));
  }
}
