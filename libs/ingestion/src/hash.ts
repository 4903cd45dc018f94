import { createHash } from 'node:crypto';
import type { ChunkRow } from '@embergate/vector-store/store.ts';

/** sha256 (hex) of what the model reads: equal in one space means an equal vector. */
export const embeddedHash = (embeddedText: string): string =>
  createHash('sha256').update(embeddedText).digest('hex');

export type ChunkIdentity = Pick<
  ChunkRow,
  'repo' | 'path' | 'language' | 'symbol' | 'startLine' | 'endLine' | 'text' | 'embeddedHash'
>;

/**
 * The key of a chunk: the same in every run, another one when anything changes that a search shows. Two pieces of one
 * long line that read the same have the same key, and are one chunk. 128 bits of a sha256, in hex.
 *
 * @param chunk `embeddedHash` is that of its own text; the row of a chunk that was moved holds that of its earlier one.
 */
export function chunkKey(chunk: ChunkIdentity): string {
  const { repo, path, language, symbol, startLine, endLine, text, embeddedHash: hash } = chunk;
  const identity = JSON.stringify([repo, path, language, symbol, startLine, endLine, text, hash]);
  return createHash('sha256').update(identity).digest('hex').slice(0, 32);
}
