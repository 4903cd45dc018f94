/**
 * Vectors with a word about them, as they cross processes: uint32 length of the JSON, the JSON padded with spaces to four
 * bytes, then float32 values. All little-endian.
 */
export function encodeVectorFrame(head: unknown, values: Float32Array): Buffer {
  const json = JSON.stringify(head);
  const padded = (Buffer.byteLength(json) + 3) & ~3;
  const frame = Buffer.alloc(4 + padded + values.byteLength, 0x20);
  frame.writeUInt32LE(padded, 0);
  frame.write(json, 4);
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).copy(frame, 4 + padded);
  return frame;
}

/** The values lie in memory of their own. @throws Error where the bytes are no frame. */
export function decodeVectorFrame(frame: Buffer): { head: unknown; values: Float32Array } {
  const padded = frame.readUInt32LE(0);
  const head: unknown = JSON.parse(frame.toString('utf8', 4, 4 + padded));
  const bytes = new Uint8Array(frame.subarray(4 + padded));
  return { head, values: new Float32Array(bytes.buffer, 0, bytes.byteLength >> 2) };
}
