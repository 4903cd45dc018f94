import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** Size and sha256 (hex) of a file, read as a stream. Rejects with the file system's error, or the signal's reason. */
export async function sha256OfFile(
  path: string,
  signal?: AbortSignal,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  // Large reads: the default of 64 KiB spends more time between reads than in them.
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    signal?.throwIfAborted();
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { bytes, sha256: hash.digest('hex') };
}
