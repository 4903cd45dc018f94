import { AppError } from '@embergate/contracts/errors.ts';
import { blocksPerRow, bytesPerBlock, quantizeRows, type BlockLayout } from './block-quantize.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { ExternalTensor } from './onnx-writer.ts';
import type { WeightsWriter } from './weights-writer.ts';

/** How a build stores the linear layers. */
export type Precision =
  { kind: 'float32' } | { kind: 'float16' } | { kind: 'blocks'; bits: 4 | 8; block: number };

/** A linear layer of integers in blocks of its inputs, with one scale each: what MatMulNBits reads. */
export interface BlockLinear {
  kind: 'blocks';
  layout: BlockLayout;
  weight: ExternalTensor;
  scales: ExternalTensor;
}

/** From which checkpoint a build takes its weights, and where they go. */
export interface Placing {
  from: Checkpoint;
  to: WeightsWriter;
  precision: Precision;
  /** Before each tensor's name: what a checkpoint of a larger model calls the part that embeds, such as `model.`. */
  prefix: string;
}

export interface NamedTensor {
  name: string;
  dims: readonly number[];
}

type Parts = AsyncIterable<Float32Array> | Iterable<Float32Array>;

/** Adds a tensor in the type that the variant computes attention and linear layers in. Errors: `model_damaged`. */
export function addComputed(
  { to, precision }: Placing,
  { name, dims }: NamedTensor,
  parts: Parts,
): Promise<ExternalTensor> {
  if (precision.kind !== 'float16') return to.add({ name, type: 'float32', dims }, parts);
  return to.add({ name, type: 'float16', dims }, toFloat16(name, parts));
}

/** Rows of tokens: floats, or integers in blocks, which GatherBlockQuantized reads. */
export type TokenTable = { kind: 'float'; table: ExternalTensor } | BlockLinear;

const TOKEN_BLOCK = 32;

/**
 * Beside integers of any width the table is one of 8 bits: a query reads a dozen rows of it, the rest stays on the disk, and a GPU
 * needs no float16 to read it. Rows that no block divides stay floats.
 */
export async function placeTokens(
  placing: Placing,
  { name, dims }: { name: string; dims: readonly [vocabulary: number, width: number] },
): Promise<TokenTable> {
  const { from, to, precision, prefix } = placing;
  const rows = from.rows(`${prefix}${name}`, dims);
  const [outputs, inputs] = dims;
  if (precision.kind !== 'blocks' || inputs % TOKEN_BLOCK !== 0)
    return { kind: 'float', table: await addComputed(placing, { name, dims }, rows) };
  return placeBlocks(to, { name, layout: { outputs, inputs, bits: 8, block: TOKEN_BLOCK } }, rows);
}

/** What stays float32 in every variant: norms, tables that are read row by row and small. */
export function placeExact(
  { from, to, prefix }: Placing,
  { name, dims }: NamedTensor,
): Promise<ExternalTensor> {
  return to.add({ name, type: 'float32', dims }, from.rows(`${prefix}${name}`, dims));
}

/** @param rows the matrix [outputs, inputs], some whole rows at a time. */
export async function placeBlocks(
  to: WeightsWriter,
  { name, layout }: { name: string; layout: BlockLayout },
  rows: AsyncIterable<Float32Array>,
): Promise<BlockLinear> {
  const blocks = blocksPerRow(layout);
  const { outputs } = layout;
  const scales: Float32Array[] = [];
  async function* quantized(): AsyncGenerator<Uint8Array> {
    for await (const part of rows) {
      const quantizedPart = quantizeRows(part, layout);
      if (!quantizedPart.scales.every(Number.isFinite))
        throw new AppError('model_damaged', `The tensor ${name} has a value that is not finite.`);
      scales.push(quantizedPart.scales);
      yield quantizedPart.packed;
    }
  }
  const packed = { name, type: 'uint8', dims: [outputs, blocks, bytesPerBlock(layout)] } as const;
  const weight = await to.add(packed, quantized());
  const scaleTensor = { name: `${name}.scales`, type: 'float32', dims: [outputs * blocks] } as const;
  return { kind: 'blocks', layout, weight, scales: await to.add(scaleTensor, scales) };
}

/** Rotary position embedding (Su et al., 2021): angle = position / theta^(2i / headSize), i from 0 to headSize / 2. */
export async function placeRotation(
  placing: Placing,
  rotation: { positions: number; headSize: number; theta: number },
): Promise<{ cosines: ExternalTensor; sines: ExternalTensor }> {
  const { positions, headSize, theta } = rotation;
  const half = headSize / 2;
  const table = (of: (angle: number) => number): Float32Array =>
    Float32Array.from({ length: positions * half }, (_, at) =>
      of(Math.floor(at / half) / theta ** ((2 * (at % half)) / headSize)),
    );
  const dims = [positions, half];
  return {
    cosines: await addComputed(placing, { name: 'cosines', dims }, [table(Math.cos)]),
    sines: await addComputed(placing, { name: 'sines', dims }, [table(Math.sin)]),
  };
}

async function* toFloat16(name: string, rows: Parts): AsyncGenerator<Float16Array> {
  for await (const part of rows) {
    const halves = new Float16Array(part);
    const isBeyond = halves.some((value) => !Number.isFinite(value));
    if (isBeyond)
      throw new AppError('model_damaged', `The tensor ${name} has a value that float16 cannot hold.`);
    yield halves;
  }
}
