import { randomUUID } from 'node:crypto';
import { access, lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type Table } from '@lancedb/lancedb';
import type { Schema } from 'apache-arrow';

/*
 * Tables appear and disappear by renaming their folders. LanceDB's own creation is not exclusive: of two processes that
 * create the same table at once both may succeed, and the later one replaces the table of the earlier one, rows and
 * all (0.39: about one time in twenty). And its drop deletes file by file under the eyes of readers and creators.
 */

const EXTENSION = '.lance';

/** The folder in which LanceDB looks for a table. */
export const tableFolder = (path: string, table: string): string => join(path, table + EXTENSION);

/**
 * Creates an empty table unless it exists; safe when many processes do so at once. It appears with all that `prepare`
 * does to it.
 */
export async function createTable(
  { path, name }: { path: string; name: string },
  schema: Schema,
  prepare: (table: Table) => Promise<void> = async () => undefined,
): Promise<void> {
  const target = tableFolder(path, name);
  if (await exists(target)) return;
  const workshop = join(path, `new-${randomUUID()}`);
  try {
    await mkdir(workshop);
    const connection = await connect(workshop);
    const table = await connection.createEmptyTable(name, schema);
    await prepare(table);
    table.close();
    connection.close();
    await rename(tableFolder(workshop, name), target);
  } catch (error) {
    // A folder that is not empty cannot be renamed to: somebody else was first, and that table counts.
    if (!(await exists(target))) throw error;
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}

/** Names of all tables in a folder. */
export async function tableNames(path: string): Promise<string[]> {
  const entries = await readdir(path);
  return entries
    .filter((entry) => entry.endsWith(EXTENSION))
    .map((entry) => entry.slice(0, -EXTENSION.length));
}

/** Takes a table out of sight in one step, then deletes its files. One that is not there is left at that. */
export async function dropTable(path: string, name: string): Promise<void> {
  const bin = join(path, `dropped-${randomUUID()}`);
  try {
    await rename(tableFolder(path, name), bin);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  await rm(bin, { recursive: true, force: true });
}

async function exists(folder: string): Promise<boolean> {
  return access(folder).then(
    () => true,
    () => false,
  );
}

/** Bytes of all files below a folder; files that vanish while it counts are left out. */
export async function folderBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const stats = await lstat(join(entry.parentPath, entry.name)).catch(() => null);
    bytes += stats?.size ?? 0;
  }
  return bytes;
}
