import { embeddedHash } from '@embergate/ingestion/hash.ts';
import { createLanceDbStore } from '@embergate/vector-store-lancedb/lancedb-store.ts';
import { BULK_REPO } from './bulk-load.ts';
import type { ExpectedChunk } from './bulk-source.ts';
import { isSameVector, type DirectModel } from './direct-model.ts';
import type { QueryRecord } from './query-record.ts';

/** Checks the vectors of all answers against direct inference, each text computed once. @returns the wrong ones. */
export async function wrongVectors(
  records: readonly QueryRecord[],
  model: DirectModel,
): Promise<{ checked: number; wrong: QueryRecord[] }> {
  const answered = records.filter(({ vector }) => vector !== null);
  const right = new Map<string, Float32Array>();
  const wrong: QueryRecord[] = [];
  for (const record of answered) {
    const expected = right.get(record.text) ?? (await model.embed(record.text, 'query'));
    right.set(record.text, expected);
    if (!isSameVector(record.vector ?? new Float32Array(0), expected)) wrong.push(record);
  }
  return { checked: answered.length, wrong };
}

export interface StoredCheck {
  expected: number;
  /** Expected, and not visible in the index. */
  lost: number;
  /** Visible more than once, or an id that two rows share. */
  twice: number;
  /** Visible, and not in the source. */
  surplus: number;
  wrongVectors: number;
}

/** Opens the index itself and compares every visible chunk with the source. */
export async function checkStored(
  lanceDbPath: string,
  { collection, expected, model }: { collection: string; expected: ExpectedChunk[]; model: DirectModel },
): Promise<StoredCheck> {
  const store = await createLanceDbStore({ path: lanceDbPath });
  const keyOf = ({ path, startLine, endLine, text }: Omit<ExpectedChunk, 'embedded'>): string =>
    JSON.stringify([path, startLine, endLine, text]);
  try {
    const visible = new Map<string, number>();
    for (const path of new Set(expected.map((chunk) => chunk.path))) {
      for (const chunk of await store.readChunks(collection, { repo: BULK_REPO, path })) {
        visible.set(keyOf(chunk), (visible.get(keyOf(chunk)) ?? 0) + 1);
      }
    }
    const wanted = new Set(expected.map(keyOf));
    const counted = (await store.countByRepo(collection)).reduce((sum, { chunks }) => sum + chunks, 0);
    const seen = [...visible.values()].reduce((sum, count) => sum + count, 0);
    const vectors = await store.vectorsByHash(
      collection,
      expected.map(({ embedded }) => embeddedHash(embedded)),
    );
    let wrong = 0;
    for (const { embedded } of expected) {
      const stored = vectors.get(embeddedHash(embedded))?.vector;
      if (stored && !isSameVector(stored, await model.embed(embedded, 'document'))) wrong += 1;
    }
    const idsTwice = await repeatedIds(store.stamps(collection, BULK_REPO));
    return {
      expected: expected.length,
      lost: [...wanted].filter((key) => !visible.has(key)).length,
      twice: [...visible.values()].filter((count) => count > 1).length + idsTwice,
      // Of files that the source does not have, too.
      surplus: [...visible.keys()].filter((key) => !wanted.has(key)).length + (counted - seen),
      wrongVectors: wrong,
    };
  } finally {
    await store.close();
  }
}

async function repeatedIds(pages: AsyncIterable<{ id: string }[]>): Promise<number> {
  const ids = new Set<string>();
  let repeated = 0;
  for await (const page of pages) {
    for (const { id } of page) {
      if (ids.has(id)) repeated += 1;
      ids.add(id);
    }
  }
  return repeated;
}
