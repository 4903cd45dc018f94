import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { VectorStore } from '@embergate/vector-store/store.ts';
import { createLanceDbStore, type LanceDbStoreOptions } from '../src/lancedb-store.ts';

export let path: string;
let stores: VectorStore[];
export let children: ChildProcessWithoutNullStreams[];

export async function open(options: Partial<LanceDbStoreOptions> = {}): Promise<VectorStore> {
  const store = await createLanceDbStore({ path, ...options });
  stores.push(store);
  return store;
}

/** Gives each test of a file an empty folder, and ends what it has opened and started there. */
export function useStoreFolder(): void {
  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'embergate-lancedb-'));
    stores = [];
    children = [];
  });
  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    for (const store of stores) await store.close();
    await rm(path, { recursive: true, force: true });
  });
}
