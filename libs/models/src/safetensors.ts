import { open, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import { AppError } from '@embergate/contracts/errors.ts';

/** The format's own limit is 100 MB; the header of a 7B model takes about 50 KB. */
const MAX_HEADER_BYTES = 16 * 1024 * 1024;

const BYTES_PER_ELEMENT = { BOOL: 1, U8: 1, I8: 1, I16: 2, F16: 2, BF16: 2, I32: 4, F32: 4, F64: 8, I64: 8 };
export type TensorType = keyof typeof BYTES_PER_ELEMENT;

export interface TensorPlace {
  type: TensorType;
  shape: number[];
  /** Bytes from the start of the file. */
  offset: number;
  bytes: number;
}

const size = z.int().nonnegative();
const entrySchema = z.object({
  dtype: z.enum(Object.keys(BYTES_PER_ELEMENT) as [TensorType, ...TensorType[]]),
  shape: z.array(size).max(8),
  data_offsets: z.tuple([size, size]),
});

/**
 * Reads where each tensor lies in a safetensors file, without its data.
 *
 * The file is taken for hostile: whatever this returns lies inside the file, has the size that its shape says and
 * overlaps nothing. Errors: `model_damaged`, naming the file and what is wrong.
 */
export async function readSafetensors(path: string): Promise<Map<string, TensorPlace>> {
  const file = await open(path);
  try {
    const { header, dataStart, dataBytes } = await readHeader(file, path);
    const tensors = new Map<string, TensorPlace>();
    for (const [name, entry] of Object.entries(header)) {
      if (name !== '__metadata__') tensors.set(name, placeOf(path, { name, entry, dataStart }));
    }
    checkLayout(path, tensors, { dataStart, dataBytes });
    return tensors;
  } finally {
    await file.close();
  }
}

/** The tensor of that name, checked to be float32 of that shape. Errors: `model_damaged`. */
export function requireTensor(tensors: Map<string, TensorPlace>, name: string, shape: number[]): TensorPlace {
  const tensor = tensors.get(name);
  if (!tensor) throw new AppError('model_damaged', `The model lacks the tensor ${name}.`);
  if (tensor.type !== 'F32' || String(tensor.shape) !== String(shape)) {
    const found = `${tensor.type} [${tensor.shape.join(', ')}]`;
    throw new AppError('model_damaged', `Tensor ${name} is ${found}, F32 [${shape.join(', ')}] is needed.`);
  }
  return tensor;
}

async function readHeader(file: FileHandle, path: string) {
  const { size: fileBytes } = await file.stat();
  const prefix = Buffer.alloc(8);
  if (fileBytes < 8) throw damaged(path, `it has only ${fileBytes} bytes`);
  await file.read(prefix, 0, 8, 0);
  const headerBytes = Number(prefix.readBigUInt64LE());
  if (headerBytes > Math.min(MAX_HEADER_BYTES, fileBytes - 8)) {
    throw damaged(path, `its header claims ${headerBytes} bytes`);
  }
  const text = Buffer.alloc(headerBytes);
  await file.read(text, 0, headerBytes, 8);
  const dataStart = 8 + headerBytes;
  return { header: parseHeader(path, text), dataStart, dataBytes: fileBytes - dataStart };
}

function parseHeader(path: string, text: Buffer): object {
  let header: unknown;
  try {
    header = JSON.parse(text.toString('utf8'));
  } catch (cause) {
    throw damaged(path, 'its header is not JSON', cause);
  }
  if (typeof header !== 'object' || header === null) throw damaged(path, 'its header is not a JSON object');
  return header;
}

function placeOf(path: string, item: { name: string; entry: unknown; dataStart: number }): TensorPlace {
  const parsed = entrySchema.safeParse(item.entry);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw damaged(path, `tensor ${item.name}: ${issue?.path.join('.')} ${issue?.message}`);
  }
  const { dtype: type, shape } = parsed.data;
  const [begin, end] = parsed.data.data_offsets;
  const bytes = shape.reduce((product, dim) => product * dim, BYTES_PER_ELEMENT[type]);
  if (end - begin !== bytes) {
    const claimed = `${type} [${shape.join(', ')}] takes ${bytes} bytes`;
    throw damaged(path, `tensor ${item.name}: ${claimed}, its offsets give it ${end - begin}`);
  }
  return { type, shape, offset: item.dataStart + begin, bytes };
}

/** The format wants the data to be covered from end to end, without gap or overlap. */
function checkLayout(
  path: string,
  tensors: Map<string, TensorPlace>,
  data: { dataStart: number; dataBytes: number },
): void {
  let covered = data.dataStart;
  for (const [name, tensor] of [...tensors].sort(
    ([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes,
  )) {
    if (tensor.offset < covered) throw damaged(path, `tensor ${name} overlaps another one`);
    if (tensor.offset > covered) throw damaged(path, `there is a gap before tensor ${name}`);
    covered += tensor.bytes;
  }
  const end = data.dataStart + data.dataBytes;
  if (covered !== end) throw damaged(path, `its tensors need ${covered} bytes, the file has ${end}`);
}

function damaged(path: string, what: string, cause?: unknown): AppError {
  return new AppError('model_damaged', `${basename(path)} is damaged: ${what}.`, { cause });
}
