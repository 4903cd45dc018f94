import type { Checkpoint } from './checkpoint.ts';
import type { ExternalTensor } from './onnx-writer.ts';
import {
  addComputed,
  placeBlocks,
  placeExact,
  placeRotation,
  placeTokens,
  type Placing as PlacingAny,
  type Precision,
} from './placed-weights.ts';
import type { PlacedLinear, Qwen2Layer, Qwen2Shape, Qwen2Weights } from './qwen2-graph.ts';
import type { WeightsWriter } from './weights-writer.ts';

interface Linear {
  name: string;
  /** Tensors of the checkpoint, [outputs, inputs] each, that become one matrix. */
  parts: readonly { name: string; outputs: number }[];
  inputs: number;
}

interface Placing extends PlacingAny {
  shape: Qwen2Shape;
}

/**
 * Copies the weights of a checkpoint into a build's file, layer by layer: of a large matrix only some rows are in memory, but
 * for the float variants, which need it transposed. Errors: `model_damaged`, `storage_full`.
 *
 * @param onLayer called after the token table and after each layer, with how many of `layers + 1` are done.
 */
export async function placeQwen2Weights(
  parts: { from: Checkpoint; to: WeightsWriter; precision: Precision; shape: Qwen2Shape },
  onLayer: (done: number) => void,
): Promise<Qwen2Weights> {
  const { from, shape } = parts;
  const { vocabulary, hidden, positions, headSize, ropeTheta: theta } = shape;
  // Checkouts of a language model have `model.`.
  const place: Placing = { ...parts, prefix: from.has('embed_tokens.weight') ? '' : 'model.' };
  const tokens = await placeTokens(place, { name: 'embed_tokens.weight', dims: [vocabulary, hidden] });
  const rotation = await placeRotation(place, { positions, headSize, theta });
  onLayer(1);
  const layers: Qwen2Layer[] = [];
  for (let index = 0; index < shape.layers; index++) {
    layers.push(await placeLayer(place, index));
    onLayer(index + 2);
  }
  const norm = await placeExact(place, { name: 'norm.weight', dims: [hidden] });
  return { tokens, ...rotation, layers, norm };
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
  const norm = (name: string) => placeExact(placing, { name: `${layer}${name}.weight`, dims: [hidden] });
  return {
    inputNorm: await norm('input_layernorm'),
    qkv: await placeLinear(placing, {
      name: `${layer}qkv`,
      parts: qkv.map(({ name, outputs }) => ({ name: `${name}.weight`, outputs })),
      inputs: hidden,
    }),
    qkvBias: await placeBiases(placing, { name: `${layer}qkv.bias`, parts: qkv }),
    attentionOutput: await one('self_attn.o_proj', hidden, heads * headSize),
    postNorm: await norm('post_attention_layernorm'),
    gate: await one('mlp.gate_proj', inner, hidden),
    up: await one('mlp.up_proj', inner, hidden),
    down: await one('mlp.down_proj', hidden, inner),
  };
}

async function placeBiases(
  placing: Placing,
  { name, parts }: { name: string; parts: readonly { name: string; outputs: number }[] },
): Promise<ExternalTensor> {
  const { from, prefix } = placing;
  const biases = await Promise.all(
    parts.map((part) => from.values(`${prefix}${part.name}.bias`, [part.outputs])),
  );
  const length = parts.reduce((sum, { outputs }) => sum + outputs, 0);
  return addComputed(placing, { name, dims: [length] }, biases);
}

async function placeLinear(placing: Placing, linear: Linear): Promise<PlacedLinear> {
  const { precision, to } = placing;
  const { name, parts, inputs } = linear;
  const outputs = parts.reduce((sum, part) => sum + part.outputs, 0);
  if (precision.kind === 'blocks') {
    const { bits, block } = precision;
    return placeBlocks(to, { name, layout: { outputs, inputs, bits, block } }, rowsOf(placing, linear));
  }
  const values = await transposed(placing, linear, outputs);
  return { kind: 'float', weight: await addComputed(placing, { name, dims: [inputs, outputs] }, [values]) };
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
