import { mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  configsOf,
  tensorsOf,
  type EncoderShape,
  type Qwen2Shape,
  type Tensor,
  type WeightType,
} from './random-architectures.ts';

export interface CheckpointOptions {
  shape: Qwen2Shape | EncoderShape;
  type: WeightType;
  /** Over how many files the tensors are spread, at most one a tensor. Default 1. */
  shards?: number;
  /** Put before each tensor's name; the values stay the same. Default ''. */
  prefix?: string;
  /** For checkpoints of many gigabytes: random numbers repeat after `BLOCK` elements of a tensor. Default false. */
  repeatBlock?: boolean;
}

/** Elements made and written at a time. */
const BLOCK = 1 << 20;
/** An element is drawn from as many values as the sum of four bytes has. */
const SUMS = 4 * 255 + 1;
/** The input columns of a linear weight that are larger than others. */
const OUTLIERS = { first: 7, every: 61, factor: 4 };

/**
 * Writes an embedding model with random weights, as sentence-transformers lays it out, without a tokenizer.
 * The folder is made where it is missing. In memory is one block of one tensor.
 *
 * Element i of a tensor named n, with 32-bit unsigned arithmetic:
 *
 *     x = fmix32(i * 2654435761 + fnv1a32(n))
 *     z = (sum of x's four bytes - 510) / 147.8016           about a standard normal
 *     embedding: z    bias: z / 2    norm: 1 + z / 10
 *     linear: z / sqrt(inputs), and 4 times that in the input columns j with j % 61 = 7 (outlier features)
 *
 * in float64, rounded to float32 and then, to nearest even, to the type. `reference/qwen2_reference.py` (libs/models/test) and
 * `encoder_reference.py` make the same. Sources: the FNV-1a hash of Fowler, Noll and Vo; the finaliser of Appleby's MurmurHash3.
 */
export async function writeRandomCheckpoint(folder: string, options: CheckpointOptions): Promise<void> {
  for (const [name, content] of Object.entries(configsOf(options.shape, options.type)))
    await writeJson(folder, name, content);
  const { shards = 1, prefix = '' } = options;
  const tensors = tensorsOf(options.shape);
  const digits = (count: number) => String(count).padStart(5, '0');
  const map: [string, string][] = [];
  for (let shard = 0; shard < shards; shard++) {
    const numbered = `model-${digits(shard + 1)}-of-${digits(shards)}.safetensors`;
    const file = shards === 1 ? 'model.safetensors' : numbered;
    // Hugging Face sorts the tensors of a file by name.
    const own = tensors
      .filter((_, index) => Math.floor((index * shards) / tensors.length) === shard)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    await writeSafetensors(join(folder, file), own, options);
    map.push(...own.map(({ name }): [string, string] => [prefix + name, file]));
  }
  if (shards === 1) return;
  const total_size = tensors.reduce((total, tensor) => total + bytesOf(tensor, options.type), 0);
  const weight_map = Object.fromEntries(map.sort(([a], [b]) => (a < b ? -1 : 1)));
  await writeJson(folder, 'model.safetensors.index.json', { metadata: { total_size }, weight_map });
}

const elementsOf = ({ shape }: Tensor) => shape.reduce((product, size) => product * size, 1);
const bytesOf = (tensor: Tensor, type: WeightType) => elementsOf(tensor) * (type === 'F32' ? 4 : 2);

async function writeSafetensors(path: string, tensors: Tensor[], options: CheckpointOptions): Promise<void> {
  const { type, prefix = '' } = options;
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const tensor of tensors) {
    const begin = end;
    end += bytesOf(tensor, type);
    header[prefix + tensor.name] = { dtype: type, shape: tensor.shape, data_offsets: [begin, end] };
  }
  const text = JSON.stringify(header);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const file = await open(path, 'w');
  try {
    await file.appendFile(Buffer.concat([length, padded]));
    for (const tensor of tensors) {
      for (const block of blocksOf(tensor, options)) await file.appendFile(block);
    }
  } finally {
    await file.close();
  }
}

/** The tensor's bytes, block by block; each lies in the memory of the one before. */
function* blocksOf(tensor: Tensor, { type, repeatBlock = false }: CheckpointOptions): Generator<Uint8Array> {
  const elements = elementsOf(tensor);
  const inputs = tensor.shape.at(-1) ?? 1;
  const seed = fnv1a32(tensor.name);
  const plain = encode(valuesOf(tensor), type);
  const outliers = encode(valuesOf(tensor, OUTLIERS.factor), type);
  const sums = new Uint16Array(Math.min(BLOCK, elements));
  const block = new (type === 'F32' ? Uint32Array : Uint16Array)(sums.length);
  for (let start = 0; start < elements; start += BLOCK) {
    const count = Math.min(BLOCK, elements - start);
    if (start === 0 || !repeatBlock) {
      for (let at = 0; at < count; at++) sums[at] = byteSum(start + at, seed);
    }
    for (let at = 0; at < count; at++) block[at] = plain[sums[at]!]!;
    const firstRow = start - (start % inputs);
    for (let row = firstRow; tensor.kind === 'linear' && row < start + count; row += inputs) {
      for (let column = OUTLIERS.first; column < inputs; column += OUTLIERS.every) {
        const at = row + column - start;
        if (at >= 0 && at < count) block[at] = outliers[sums[at]!]!;
      }
    }
    yield new Uint8Array(block.buffer, 0, count * block.BYTES_PER_ELEMENT);
  }
}

function fnv1a32(text: string): number {
  return Buffer.from(text).reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), 0x811c9dc5) >>> 0;
}

function byteSum(index: number, seed: number): number {
  let x = Math.imul(index, 2654435761) + seed;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  x ^= x >>> 16;
  return (x & 255) + ((x >>> 8) & 255) + ((x >>> 16) & 255) + (x >>> 24);
}

/** What an element is for each sum of bytes. */
function valuesOf({ kind, shape }: Tensor, factor = 1): Float32Array<ArrayBuffer> {
  const scale = factor / Math.sqrt(shape.at(-1) ?? 1);
  return Float32Array.from({ length: SUMS }, (_, sum) => {
    const normal = (sum - 510) / 147.8016;
    return { embedding: normal, linear: normal * scale, bias: normal * 0.5, norm: 1 + 0.1 * normal }[kind];
  });
}

function encode(values: Float32Array<ArrayBuffer>, type: WeightType): Uint32Array | Uint16Array {
  const bits = new Uint32Array(values.buffer);
  if (type === 'F32') return bits;
  if (type === 'F16') return new Uint16Array(new Float16Array(values).buffer);
  return Uint16Array.from(bits, (single) => (single + 0x7fff + ((single >>> 16) & 1)) >>> 16);
}

async function writeJson(folder: string, name: string, value: object): Promise<void> {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
}
