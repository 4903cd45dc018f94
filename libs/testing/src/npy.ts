/** The bytes of a .npy file of version 1, written from the format's description. `header` overrides what stands in its dictionary. */
export function npyOf(
  rows: readonly ArrayLike<number>[],
  { descr = '<f4', header }: { descr?: '<f4' | '<f2'; header?: string } = {},
): Buffer {
  const shape = `(${rows.length}, ${rows[0]?.length ?? 0})`;
  const words = header ?? `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  // Magic, version and length are 10 bytes; numbers begin at a multiple of 64.
  const padded = `${words.padEnd(Math.ceil((words.length + 11) / 64) * 64 - 11)}\n`;
  const start = Buffer.from('\x93NUMPY\x01\x00\x00\x00', 'latin1');
  start.writeUInt16LE(padded.length, 8);
  const numbers = rows.map((row) => Array.from(row)).flat();
  const bytes = Buffer.alloc(numbers.length * (descr === '<f4' ? 4 : 2));
  numbers.forEach((number, at) => {
    if (descr === '<f4') bytes.writeFloatLE(number, at * 4);
    else new DataView(bytes.buffer, bytes.byteOffset).setUint16(at * 2, halfOf(number), true);
  });
  return Buffer.concat([start, Buffer.from(padded, 'latin1'), bytes]);
}

/** The nearest binary16 of a number that is zero or of usual size. */
function halfOf(number: number): number {
  const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0;
  const size = Math.abs(number);
  if (size === 0) return sign;
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  const fraction = Math.round((size / 2 ** exponent) * 1_024);
  return sign | (exponent === -14 && fraction < 1_024 ? fraction : ((exponent + 14) << 10) + fraction);
}
