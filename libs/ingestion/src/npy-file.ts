import { AppError } from '@embergate/contracts/errors.ts';
import type { FileHandle } from 'node:fs/promises';

/** A matrix in a .npy file: numbers in C order from `offset` on. */
interface NpyLayout {
  rows: number;
  columns: number;
  /** Bytes a number: float16 or float32, little-endian. */
  width: 2 | 4;
  offset: number;
}

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
/** NumPy itself refuses longer ones; what it writes for a matrix has 118 bytes. */
const MAX_HEADER_BYTES = 10_000;
const WIDTHS: Partial<Record<string, 2 | 4>> = { '<f4': 4, '<f2': 2 };
/** A Python dictionary of exactly the three keys that the format knows, in any order. */
const ENTRY =
  /\s*(?:'descr'\s*:\s*'([^']*)'|'fortran_order'\s*:\s*(True|False)|'shape'\s*:\s*\(([\d\s,]*)\))\s*,?/y;

/**
 * Reads the matrix of a .npy file (NumPy's format, versions 1 to 3) row by row: only the rows that are asked for are in memory.
 * Nothing in it is ever run: pickled objects, other types and other orders are refused.
 */
export class NpyFile {
  readonly rows: number;
  readonly columns: number;
  readonly #handle: FileHandle;
  readonly #layout: NpyLayout;

  private constructor(handle: FileHandle, layout: NpyLayout) {
    this.#handle = handle;
    this.#layout = layout;
    this.rows = layout.rows;
    this.columns = layout.columns;
  }

  /**
   * @param handle stays the caller's to close.
   * @throws AppError `vectors_invalid`
   */
  static async open(handle: FileHandle): Promise<NpyFile> {
    const layout = await readLayout(handle);
    const { size } = await handle.stat();
    const expected =
      BigInt(layout.offset) + BigInt(layout.rows) * BigInt(layout.columns) * BigInt(layout.width);
    if (BigInt(size) !== expected) {
      const shape = `${layout.rows} x ${layout.columns}`;
      throw invalid(
        `has ${size} bytes where its shape, ${shape}, needs ${expected}: it is not whole, or another file`,
      );
    }
    return new NpyFile(handle, layout);
  }

  /** @returns row after row, `columns` numbers each. */
  async read(first: number, count: number): Promise<Float32Array[]> {
    const { columns, width, offset } = this.#layout;
    const bytes = Buffer.alloc(count * columns * width);
    const position = offset + first * columns * width;
    for (let filled = 0; filled < bytes.length;) {
      const { bytesRead } = await this.#handle.read(bytes, filled, bytes.length - filled, position + filled);
      if (bytesRead === 0) throw invalid('became shorter while it was read');
      filled += bytesRead;
    }
    const numbers = new Float32Array(count * columns);
    for (let at = 0; at < numbers.length; at++)
      numbers[at] = width === 4 ? bytes.readFloatLE(at * 4) : fromHalf(bytes.readUInt16LE(at * 2));
    return Array.from({ length: count }, (_, row) => numbers.slice(row * columns, (row + 1) * columns));
  }
}

async function readLayout(handle: FileHandle): Promise<NpyLayout> {
  const start = await readStart(handle, 12);
  const major = start[6] ?? 0;
  if (start.length < 12 || !start.subarray(0, 6).equals(MAGIC) || major < 1 || major > 3)
    throw invalid('is no .npy file; write it with numpy.save');
  const [headerBytes, headerAt] = major === 1 ? [start.readUInt16LE(8), 10] : [start.readUInt32LE(8), 12];
  if (headerBytes > MAX_HEADER_BYTES) throw invalid(`has a header of ${headerBytes} bytes`);
  const offset = headerAt + headerBytes;
  const head = await readStart(handle, offset);
  if (head.length < offset) throw invalid('ends within its header');
  return { ...parseHeader(head.subarray(headerAt).toString('latin1')), offset };
}

async function readStart(handle: FileHandle, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
  return buffer.subarray(0, bytesRead);
}

function parseHeader(text: string): Omit<NpyLayout, 'offset'> {
  const { descr, fortran, shape } = headerEntries(text);
  const width = WIDTHS[descr];
  if (width === undefined) {
    const what = `holds numbers of type ${JSON.stringify(descr.slice(0, 40))}`;
    throw invalid(`${what}; write it as float32 or float16 ("<f4", "<f2")`);
  }
  if (fortran !== 'False') throw invalid('is in Fortran order; write numpy.ascontiguousarray of it');
  const sizes = shape
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const [rows, columns] = sizes.map(Number);
  if (sizes.length !== 2 || rows === undefined || columns === undefined)
    throw invalid(`has ${sizes.length} dimensions where it needs two: one row a chunk`);
  if (!Number.isSafeInteger(rows) || !Number.isSafeInteger(columns))
    throw invalid(`has the shape (${shape.slice(0, 60)}), which no file can have`);
  return { rows, columns, width };
}

function headerEntries(text: string): { descr: string; fortran: string; shape: string } {
  const inner = /^\{(.*)\}\s*$/s.exec(text)?.[1] ?? '';
  let [descr, fortran, shape]: (string | undefined)[] = [];
  ENTRY.lastIndex = 0;
  let end = 0;
  for (let match = ENTRY.exec(inner); match; match = ENTRY.exec(inner)) {
    end = ENTRY.lastIndex;
    descr ??= match[1];
    fortran ??= match[2];
    shape ??= match[3];
  }
  // A structured type has a list where a name belongs, and no entry of ours fits it.
  if (inner.slice(end).trim() !== '' || descr === undefined || fortran === undefined || shape === undefined)
    throw invalid(
      'has a header that says no plain matrix; write a two-dimensional float32 array with numpy.save',
    );
  return { descr, fortran, shape };
}

/** IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits. */
function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >> 10) & 0x1f, bits & 0x3ff];
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1_024 + fraction) * 2 ** (exponent - 25);
}

const invalid = (what: string): AppError => new AppError('vectors_invalid', `The .npy file ${what}.`);
