import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { saysGenerated } from './skip-names.ts';

/** Why something is not indexed. */
export type SkipReason =
  | 'binary'
  | 'dependencies'
  | 'generated'
  | 'long_lines'
  | 'nested_repository'
  | 'not_regular'
  | 'not_utf8'
  | 'symlink'
  | 'too_large'
  | 'unreadable';

export type SourceRead =
  | { outcome: 'text'; text: string; sizeBytes: number }
  | { outcome: 'skipped'; reason: SkipReason }
  | { outcome: 'gone' };

const BINARY_PROBE_BYTES = 8 * 1_024;
const HEAD_BYTES = 64 * 1_024;
/** One line beyond this is data, whatever surrounds it. */
const MAX_LINE = 20_000;
/** A file is minified when most of it stands in lines longer than this. */
const LONG_LINE = 2_000;
const LONG_LINES_MIN_BYTES = 8 * 1_024;

/**
 * Reads a source file, or says why it is not one. Never follows a symbolic link, never blocks on a pipe or device, and
 * never holds more than `maxBytes` or 64 KiB, whichever is more. A byte order mark is dropped; line endings are kept.
 */
export async function readSource(file: string, maxBytes: number): Promise<SourceRead> {
  try {
    const stats = await lstat(file);
    if (stats.isSymbolicLink()) return skipped('symlink');
    if (stats.isDirectory()) return skipped('nested_repository');
    if (!stats.isFile()) return skipped('not_regular');
  } catch (error) {
    return isMissing(error) ? { outcome: 'gone' } : skipped('unreadable');
  }
  try {
    // The file may have become something else since: these flags keep the open itself harmless.
    const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      return await readOpened(handle, maxBytes);
    } finally {
      await handle.close();
    }
  } catch {
    return skipped('unreadable');
  }
}

async function readOpened(handle: FileHandle, maxBytes: number): Promise<SourceRead> {
  const stats = await handle.stat();
  if (!stats.isFile()) return skipped('not_regular');
  const head = await readFrom(handle, 0, { most: HEAD_BYTES, expected: stats.size });
  if (head.subarray(0, BINARY_PROBE_BYTES).includes(0)) return skipped('binary');
  if (hasLongLines(head)) return skipped('long_lines');
  if (stats.size > maxBytes) return skipped('too_large');

  // One byte more than allowed is asked for: the file may have grown.
  const most = maxBytes + 1 - head.length;
  const rest =
    head.length < HEAD_BYTES
      ? Buffer.alloc(0)
      : await readFrom(handle, head.length, { most, expected: stats.size - head.length });
  const bytes = Buffer.concat([head, rest]);
  if (bytes.length > maxBytes) return skipped('too_large');
  if (hasLongLines(bytes)) return skipped('long_lines');
  const text = decoded(bytes);
  if (text === null) return skipped('not_utf8');
  if (saysGenerated(text)) return skipped('generated');
  return { outcome: 'text', text, sizeBytes: bytes.length };
}

/**
 * What a file holds from `position` on, up to `most` bytes.
 * @param expected as many bytes as there were a moment ago: a buffer of `most` for every file would cost more than reading it.
 */
async function readFrom(
  handle: FileHandle,
  position: number,
  { most, expected }: { most: number; expected: number },
): Promise<Buffer> {
  // One more, so that the end of the file is seen.
  let buffer = Buffer.allocUnsafe(Math.max(0, Math.min(most, expected + 1)));
  let filled = 0;
  while (filled < most) {
    if (filled === buffer.length) buffer = Buffer.concat([buffer], Math.min(most, filled * 2 + 1));
    const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

function hasLongLines(bytes: Buffer): boolean {
  let inLongLines = 0;
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(10, start);
    const end = newline < 0 ? bytes.length : newline;
    if (end - start > MAX_LINE) return true;
    if (end - start > LONG_LINE) inLongLines += end - start;
    start = end + 1;
  }
  return bytes.length > LONG_LINES_MIN_BYTES && inLongLines > bytes.length / 2;
}

function decoded(bytes: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

const skipped = (reason: SkipReason): SourceRead => ({ outcome: 'skipped', reason });

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
