import { AppError } from '@embergate/contracts/errors.ts';
import { quantizeRows, blocksPerRow, bytesPerBlock, type BlockLayout } from './block-quantize.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { ExternalTensor } from './onnx-writer.ts';
import type { PlacedLinear, Qwen2Layer, Qwen2Shape, Qwen2Weights } from './qwen2-graph.ts';
import type { WeightsWriter } from './weights-writer.ts';

/** How a build stores the linear layers. */
export type Precision =
  { kind: 'float32' } | { kind: 'float16' } | { kind: 'blocks'; bits: 4 | 8; block: number };

interface Linear {
  name: string;
  /** Tensors of the checkpoint, [outputs, inputs] each, that become one matrix. */
  parts: readonly { name: string; outputs: number }[];
  inputs: number;
}

interface Placing {
  from: Checkpoint;
  to: WeightsWriter;
  shape: Qwen2Shape;
  precision: Precision;
  /** Before each tensor's name: checkouts of a language model have `model.`. */
  prefix: string;
}

/**
 * Copies the weights of a checkpoint into a build's file, layer by layer: of a large matrix only some rows are in memory, but
 * for the float variants, which need it transposed. Errors: `model_damaged`, `storage_full`.
 *
 * @param onLayer called after the token table and after each layer, with how many of `layers + 1` are done.
 */
export async function placeQwen2Weights(
  placing: Omit<Placing, 'prefix'>,
  onLayer: (done: number) => void,
): Promise<Qwen2Weights> {
  const { from, shape } = placing;
  const prefix = from.has('embed_tokens.weight') ? '' : 'model.';
  const place: Placing = { ...placing, prefix };
  const tokens = await placeTokens(place);
  const { cosines, sines } = await placeRotation(place);
  onLayer(1);
  const layers: Qwen2Layer[] = [];
  for (let index = 0; index < shape.layers; index++) {
    layers.push(await placeLayer(place, index));
    onLayer(index + 2);
  }
  const norm = await placeVector(place, 'norm.weight', shape.hidden);
  return { tokens, cosines, sines, layers, norm };
}

/** float16 even beside integers: a query reads a dozen rows of the table, and the rest stays on the disk. */
async function placeTokens({ from, to, shape, precision, prefix }: Placing): Promise<ExternalTensor> {
  const dims = [shape.vocabulary, shape.hidden];
  const rows = from.rows(`${prefix}embed_tokens.weight`, dims);
  if (precision.kind === 'float32') return to.add({ name: 'tokens', type: 'float32', dims }, rows);
  return to.add({ name: 'tokens', type: 'float16', dims }, toFloat16('embed_tokens.weight', rows));
}

async function* toFloat16(
  name: string,
  rows: AsyncIterable<Float32Array> | Iterable<Float32Array>,
): AsyncGenerator<Float16Array> {
  for await (const part of rows) {
    const halves = new Float16Array(part);
    const isBeyond = halves.some((value) => !Number.isFinite(value));
    if (isBeyond)
      throw new AppError('model_damaged', `The tensor ${name} has a value that float16 cannot hold.`);
    yield halves;
  }
}

/** Adds a tensor in the type that the variant computes attention and linear layers in. */
function addComputed(
  { to, precision }: Placing,
  { name, dims }: { name: string; dims: readonly number[] },
  parts: Iterable<Float32Array>,
): Promise<ExternalTensor> {
  if (precision.kind !== 'float16') return to.add({ name, type: 'float32', dims }, parts);
  return to.add({ name, type: 'float16', dims }, toFloat16(name, parts));
}

/** Rotary position embedding (Su et al., 2021): angle = position / theta^(2i / headSize), i from 0 to headSize / 2. */
async function placeRotation(placing: Placing): Promise<Pick<Qwen2Weights, 'cosines' | 'sines'>> {
  const { positions, headSize, ropeTheta } = placing.shape;
  const half = headSize / 2;
  const table = (of: (angle: number) => number): Float32Array =>
    Float32Array.from({ length: positions * half }, (_, at) =>
      of(Math.floor(at / half) / ropeTheta ** ((2 * (at % half)) / headSize)),
    );
  const dims = [positions, half];
  return {
    cosines: await addComputed(placing, { name: 'cosines', dims }, [table(Math.cos)]),
    sines: await addComputed(placing, { name: 'sines', dims }, [table(Math.sin)]),
  };
}

async function placeLayer(placing: Placing, index: number): Promise<Qwen2Layer> {
  const { hidden, inner, heads, kvHeads, headSize } = placing.shape;
  const layer = `layers.${index}.`;
  const kvWidth = kvHeads * headSize;
  const qkv = [
    { part: 'q_proj', outputs: heads * headSize },
    { part: 'k_proj', outputs: kvWidth },
    { part: 'v_proj', outputs: kvWidth },
  ].map(({ part, outputs }) => ({ name: `${layer}self_attn.${part}`, outputs }));
  const one = (part: string, outputs: number, inputs: number): Promise<PlacedLinear> => {
    const name = `${layer}${part}`;
    return placeLinear(placing, { name, parts: [{ name: `${name}.weight`, outputs }], inputs });
  };
  return {
    inputNorm: await placeVector(placing, `${layer}input_layernorm.weight`, hidden),
    qkv: await placeLinear(placing, {
      name: `${layer}qkv`,
      parts: qkv.map(({ name, outputs }) => ({ name: `${name}.weight`, outputs })),
      inputs: hidden,
    }),
    qkvBias: await placeBiases(placing, { name: `${layer}qkv.bias`, parts: qkv }),
    attentionOutput: await one('self_attn.o_proj', hidden, heads * headSize),
    postNorm: await placeVector(placing, `${layer}post_attention_layernorm.weight`, hidden),
    gate: await one('mlp.gate_proj', inner, hidden),
    up: await one('mlp.up_proj', inner, hidden),
    down: await one('mlp.down_proj', hidden, inner),
  };
}

function placeVector({ from, to, prefix }: Placing, name: string, length: number): Promise<ExternalTensor> {
  return to.add({ name, type: 'float32', dims: [length] }, from.rows(`${prefix}${name}`, [length]));
}

async function placeBiases(
  placing: Placing,
  { name, parts }: { name: string; parts: readonly { name: string; outputs: number }[] },
): Promise<ExternalTensor> {
  const biases = await Promise.all(
    parts.map((part) => placing.from.values(`${placing.prefix}${part.name}.bias`, [part.outputs])),
  );
  const length = parts.reduce((sum, { outputs }) => sum + outputs, 0);
  return addComputed(placing, { name, dims: [length] }, biases);
}

async function placeLinear(placing: Placing, linear: Linear): Promise<PlacedLinear> {
  const { precision, to } = placing;
  const { name, parts, inputs } = linear;
  const outputs = parts.reduce((sum, part) => sum + part.outputs, 0);
  if (precision.kind !== 'blocks') {
    const values = await transposed(placing, linear, outputs);
    return { kind: 'float', weight: await addComputed(placing, { name, dims: [inputs, outputs] }, [values]) };
  }
  const layout: BlockLayout = { outputs, inputs, bits: precision.bits, block: precision.block };
  const blocks = blocksPerRow(layout);
  const scales: Float32Array[] = [];
  async function* quantized(): AsyncGenerator<Uint8Array> {
    for await (const part of rowsOf(placing, linear)) {
      const quantizedPart = quantizeRows(part, layout);
      scales.push(quantizedPart.scales);
      yield quantizedPart.packed;
    }
  }
  const packed = { name, type: 'uint8', dims: [outputs, blocks, bytesPerBlock(layout)] } as const;
  const weight = await to.add(packed, quantized());
  const scaleTensor = { name: `${name}.scales`, type: 'float32', dims: [outputs * blocks] } as const;
  return { kind: 'blocks', layout, weight, scales: await to.add(scaleTensor, scales) };
}

async function* rowsOf({ from, prefix }: Placing, { parts, inputs }: Linear): AsyncGenerator<Float32Array> {
  for (const { name, outputs } of parts) yield* from.rows(`${prefix}${name}`, [outputs, inputs]);
}

/** [inputs, outputs]: what MatMul multiplies by. */
async function transposed(placing: Placing, linear: Linear, outputs: number): Promise<Float32Array> {
  const { inputs } = linear;
  let values = new Float32Array();
  let output = 0;
  for await (const part of rowsOf(placing, linear)) {
    // Not before the first rows have shown that the matrix is there, and as large.
    if (output === 0) values = new Float32Array(inputs * outputs);
    for (let from = 0; from < part.length; from += inputs, output++)
      for (let input = 0; input < inputs; input++)
        values[input * outputs + output] = part[from + input] as number;
  }
  return values;
}
