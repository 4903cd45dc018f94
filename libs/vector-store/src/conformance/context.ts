import { expect } from 'vitest';
import { AppError, type ErrorCode } from '@embergate/contracts/errors.ts';
import type { ChunkStamp, SearchOptions, VectorStore, VisibleRow } from '../store.ts';
import { vectorOf } from './samples.ts';

/** What a group of tests works with: `writer` indexes, `reader` searches, each with a connection of its own. */
export interface Stores {
  writer: VectorStore;
  reader: VectorStore;
}

export const everything: SearchOptions = { limit: 100, filter: {} };

export async function expectCode(failing: Promise<unknown>, code: ErrorCode): Promise<void> {
  const error = await failing.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(AppError);
  expect((error as AppError).code).toBe(code);
}

export const idsOf = (rows: { id: string }[]): string[] => rows.map(({ id }) => id).sort();
export const pathsOf = (rows: { path: string }[]): string[] => rows.map(({ path }) => path).sort();

export async function visiblePaths({ reader }: Stores): Promise<string[]> {
  return pathsOf(await reader.searchDense('default', vectorOf(1, 1, 1, 1), everything));
}

export async function allStamps(store: VectorStore, repo: string): Promise<ChunkStamp[]> {
  const stamps: ChunkStamp[] = [];
  for await (const page of store.stamps('default', repo)) stamps.push(...page);
  return stamps;
}

export async function allVisibleRows(store: VectorStore, collection: string): Promise<VisibleRow[]> {
  const rows: VisibleRow[] = [];
  for await (const page of store.visibleRows(collection)) rows.push(...page);
  return rows.sort((one, other) => (one.id < other.id ? -1 : 1));
}
