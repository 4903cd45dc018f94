import type { StoredChunk } from '@embergate/vector-store/store.ts';
import { embeddedText } from './embedded-text.ts';
import { embeddedHash } from './hash.ts';

/**
 * What was embedded for a row, where that can be told from the row: its head and its text, or its text alone. A later part
 * of a long definition was embedded with the definition's signature, and what was moved with its earlier path, which no row keeps: null.
 */
export function storedText(row: StoredChunk & { embeddedHash: string }): string | null {
  const candidates = [withoutSignature(row), row.text];
  return candidates.find((text) => text.trim() !== '' && embeddedHash(text) === row.embeddedHash) ?? null;
}

/** The nearest to what was embedded that a row still tells. */
export const withoutSignature = (row: StoredChunk): string => embeddedText({ ...row, signature: '' });
