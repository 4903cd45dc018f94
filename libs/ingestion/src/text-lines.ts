import type { FileHandle } from 'node:fs/promises';

const READ_BYTES = 256 * 1_024;

export interface TextLine {
  /** Without its line end. */
  bytes: Buffer;
  /** 1-based. */
  number: number;
}

/**
 * The lines of a file from its start, in groups of those that came with one read. In memory are one read, and the line that goes beyond it.
 * @param onTooLong makes the error for a line of more than `maxBytes`.
 */
export async function* textLines(
  handle: FileHandle,
  { maxBytes, onTooLong }: { maxBytes: number; onTooLong: (number: number) => Error },
): AsyncGenerator<TextLine[], void, undefined> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  let number = 1;
  for (let position = 0; ;) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(READ_BYTES), 0, READ_BYTES, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    const read = buffer.subarray(0, bytesRead);
    const lines: TextLine[] = [];
    let start = 0;
    for (let end = read.indexOf(10); end >= 0; end = read.indexOf(10, start)) {
      const bytes = Buffer.concat([...rest, read.subarray(start, end)]);
      if (bytes.length > maxBytes) throw onTooLong(number);
      lines.push({ bytes, number });
      [rest, restBytes, start] = [[], 0, end + 1];
      number += 1;
    }
    if (start < read.length) rest.push(read.subarray(start));
    restBytes += read.length - start;
    if (restBytes > maxBytes) throw onTooLong(number);
    if (lines.length > 0) yield lines;
  }
  if (restBytes > 0) yield [{ bytes: Buffer.concat(rest), number }];
}
