import { AppError } from '@embergate/contracts/errors.ts';
import { open, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { readSafetensors, type TensorPlace, type TensorType } from './safetensors.ts';

const WEIGHTS = 'model.safetensors';
const WEIGHTS_INDEX = 'model.safetensors.index.json';
/** A shard's name comes out of a file that is taken for hostile: it names a file of the folder and nothing else. */
const shardNameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$/);
const indexSchema = z.object({ weight_map: z.record(z.string(), shardNameSchema) });
/** What is read of a tensor at a time. */
const PART_BYTES = 8 * 1024 * 1024;
const FLOAT_TYPES: readonly TensorType[] = ['F32', 'BF16', 'F16'];

interface PlacedTensor extends TensorPlace {
  path: string;
}

/** The tensors of a Hugging Face checkout: one safetensors file, or shards with an index. Read a part at a time. */
export class Checkpoint {
  readonly #tensors: ReadonlyMap<string, PlacedTensor>;

  private constructor(tensors: ReadonlyMap<string, PlacedTensor>) {
    this.#tensors = tensors;
  }

  /** Errors: `model_damaged`, `model_not_found` where the folder has no weights. */
  static async open(folder: string): Promise<Checkpoint> {
    const index = await readJson(join(folder, WEIGHTS_INDEX), indexSchema);
    const files = index ? [...new Set(Object.values(index.weight_map))] : [WEIGHTS];
    const tensors = new Map<string, PlacedTensor>();
    for (const file of files) {
      const path = join(folder, file);
      const found = await readSafetensors(path).catch((error: unknown) => {
        throw isMissing(error) ? lacks(folder, file) : error;
      });
      for (const [name, place] of found) tensors.set(name, { ...place, path });
    }
    for (const name of Object.keys(index?.weight_map ?? {})) if (!tensors.has(name)) throw lacksTensor(name);
    return new Checkpoint(tensors);
  }

  get names(): readonly string[] {
    return [...this.#tensors.keys()];
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /**
   * The values of a matrix as float32, some whole rows at a time.
   * @param shape [rows, columns], or [columns] for a vector, which is one row.
   * @param only these rows, from the first to before the last; default all. Errors: `model_damaged`.
   */
  async *rows(
    name: string,
    shape: readonly number[],
    only?: { first: number; last: number },
  ): AsyncGenerator<Float32Array> {
    const { path, type, offset, bytes } = this.#require(name, shape);
    const rowBytes = (shape.at(-1) ?? 1) * (type === 'F32' ? 4 : 2);
    const mostBytes = Math.max(1, Math.floor(PART_BYTES / rowBytes)) * rowBytes;
    const file = await open(path);
    try {
      const end = only ? only.last * rowBytes : bytes;
      for (let at = (only?.first ?? 0) * rowBytes; at < end; at += mostBytes) {
        const part = Buffer.alloc(Math.min(mostBytes, end - at));
        const { bytesRead } = await file.read(part, 0, part.length, offset + at);
        if (bytesRead < part.length) throw damaged(path, `it ends within the tensor ${name}`);
        yield toFloat32(part, type);
      }
    } finally {
      await file.close();
    }
  }

  /** All of a small tensor. */
  async values(name: string, shape: readonly number[]): Promise<Float32Array> {
    const values = new Float32Array(shape.reduce((product, dim) => product * dim, 1));
    let at = 0;
    for await (const part of this.rows(name, shape)) {
      values.set(part, at);
      at += part.length;
    }
    return values;
  }

  #require(name: string, shape: readonly number[]): PlacedTensor {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw lacksTensor(name);
    if (FLOAT_TYPES.includes(tensor.type) && String(tensor.shape) === String(shape)) return tensor;
    const found = `${tensor.type} [${tensor.shape.join(', ')}]`;
    const wanted = `${FLOAT_TYPES.join(', ')} of shape [${shape.join(', ')}]`;
    throw damaged(tensor.path, `tensor ${name} is ${found}, one of ${wanted} is needed`);
  }
}

/** The parsed file; null where there is none. Errors: `model_damaged`. */
export async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw damaged(path, 'it cannot be read', error);
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : 'it is not JSON';
    throw damaged(path, why, error);
  }
}

function toFloat32(bytes: Buffer, type: TensorType): Float32Array {
  const { buffer, byteOffset, length } = bytes;
  if (type === 'F32') return new Float32Array(buffer, byteOffset, length / 4);
  if (type === 'F16') return new Float32Array(new Float16Array(buffer, byteOffset, length / 2));
  // bfloat16 is the upper half of a float32.
  const halves = new Uint16Array(buffer, byteOffset, length / 2);
  const words = new Uint32Array(halves.length);
  for (let at = 0; at < halves.length; at++) words[at] = (halves[at] as number) << 16;
  return new Float32Array(words.buffer);
}

const isMissing = (error: unknown): boolean =>
  ['ENOENT', 'ENOTDIR'].includes(String((error as NodeJS.ErrnoException).code));

const lacks = (folder: string, file: string): AppError =>
  new AppError(
    'model_not_found',
    `${folder} is no checkout of a model: it has no ${file}. Only safetensors are read.`,
  );

const lacksTensor = (name: string): AppError =>
  new AppError('model_damaged', `The model lacks the tensor ${name}.`);

const damaged = (path: string, what: string, cause?: unknown): AppError =>
  new AppError('model_damaged', `${basename(path)} is damaged: ${what}.`, { cause });
