import { GraphBuilder } from './graph-builder.ts';
import { FLOAT, INT64, type Graph } from './onnx-writer.ts';
import { requireTensor, type TensorPlace } from './safetensors.ts';

/** What config.json says of a BERT encoder, as far as the graph depends on it. */
export interface BertShape {
  layers: number;
  heads: number;
  hidden: number;
  /** Width of the feed-forward layer. */
  inner: number;
  vocabulary: number;
  /** Rows of the position table: the longest sequence in tokens. */
  positions: number;
  layerNormEpsilon: number;
}

export interface WeightsFile {
  /** Name of the safetensors file; the graph refers to it by name, so it lies in the graph's folder. */
  file: string;
  tensors: Map<string, TensorPlace>;
}

/** Added to the score of a padded key: exp(-10000) is 0 in float32 and the value still fits float16. */
const MASKED = -10_000;

/**
 * The graph of a BERT sentence encoder with masked-mean pooling and L2 normalisation.
 *
 * Inputs `input_ids` and `attention_mask`, int64 [batch, sequence], padded on the right. Output `embedding`, float32
 * [batch, hidden]. A row whose mask is all zero has no direction and must not be sent.
 *
 * Weights stay where they are: every one is a slice of the safetensors file, so a build copies nothing and the runtime
 * maps them. PyTorch stores a linear layer as [out, in], which is Gemm with transB.
 *
 * All operators but BiasGelu are ONNX's own and exist for every execution provider. onnxruntime's fused ones were
 * measured on the CPU and left out: SkipLayerNormalization takes ten times as long as Add + LayerNormalization,
 * MultiHeadAttention is no faster than the operators it stands for (and refuses padding masks on WebGPU), and a
 * concatenated, transposed copy of the QKV weights gains nothing either.
 *
 * Errors: `model_damaged` where a tensor is missing or has another shape.
 */
export function bertGraph(shape: BertShape, weights: WeightsFile): Graph {
  const graph = new BertWeights(weights);
  const mask = graph.add('Cast', ['attention_mask'], { to: { int: FLOAT } });
  const sizes = shapeConstants(graph, shape);
  const scoreBias = maskedScores(graph, mask);
  let tokens = embedTokens(graph, shape);
  for (let index = 0; index < shape.layers; index++) {
    const layer: Layer = { graph, shape, sizes, scoreBias, prefix: `encoder.layer.${index}.` };
    tokens = feedForward(layer, attention(layer, tokens));
  }
  poolMean(graph, { tokens, mask, sizes });
  const ids = ['input_ids', 'attention_mask'].map((name) => ({
    name,
    elementType: INT64,
    dims: ['batch', 'sequence'],
  }));
  const embedding = { name: 'embedding', elementType: FLOAT, dims: ['batch', shape.hidden] };
  return { name: 'bert', inputs: ids, outputs: [embedding], nodes: graph.nodes, weights: graph.weights };
}

/** Shape operands of Reshape. Linear layers run over [tokens, hidden], attention over [batch, heads, sequence, size]. */
interface Sizes {
  flat: string;
  perText: string;
  perHead: string;
}

interface Layer {
  graph: BertWeights;
  shape: BertShape;
  sizes: Sizes;
  scoreBias: string;
  prefix: string;
}

function shapeConstants(graph: BertWeights, shape: BertShape): Sizes {
  const batchAndSequence = graph.add('Shape', ['input_ids']);
  const ending = (name: string, ...dims: number[]) =>
    graph.add('Concat', [batchAndSequence, graph.integers(name, dims)], { axis: { int: 0 } });
  return {
    flat: graph.integers('flat', [-1, shape.hidden]),
    perText: ending('hidden_size', shape.hidden),
    perHead: ending('head_sizes', shape.heads, shape.hidden / shape.heads),
  };
}

/** [batch, 1, 1, sequence]: 0 where a token is, {@link MASKED} where padding is. */
function maskedScores(graph: BertWeights, mask: string): string {
  const inverted = graph.add('Sub', [graph.float('one', 1), mask]);
  const scores = graph.add('Mul', [inverted, graph.float('masked', MASKED)]);
  return graph.add('Unsqueeze', [scores, graph.integers('score_axes', [1, 2])]);
}

/** Token + position + type 0 (single texts only), normalised: [tokens, hidden]. */
function embedTokens(graph: BertWeights, shape: BertShape): string {
  const { hidden } = shape;
  const table = (name: string, rows: number) =>
    graph.weight(`embeddings.${name}_embeddings.weight`, [rows, hidden]);
  const words = graph.add('Gather', [table('word', shape.vocabulary), 'input_ids']);
  const length = graph.add('Shape', ['input_ids'], { start: { int: 1 } });
  const first = graph.integers('first', [0]);
  const positions = graph.add('Slice', [table('position', shape.positions), first, length, first]);
  const type = graph.add('Gather', [table('token_type', 2), graph.integers('type', [0])]);
  const sum = graph.add('Add', [words, graph.add('Add', [positions, type])]);
  const flat = graph.add('Reshape', [sum, graph.integers('embedding_flat', [-1, hidden])]);
  return layerNorm(graph, { input: flat, name: 'embeddings.LayerNorm', shape });
}

function attention({ graph, shape, sizes, scoreBias, prefix }: Layer, tokens: string): string {
  const { hidden, heads } = shape;
  const heads4d = (part: string, order: number[]) => {
    const projected = linear(graph, tokens, {
      name: `${prefix}attention.self.${part}`,
      inputs: hidden,
      outputs: hidden,
    });
    const split = graph.add('Reshape', [projected, sizes.perHead]);
    return graph.add('Transpose', [split], { perm: { ints: order } });
  };
  const scale = graph.float('score_scale', 1 / Math.sqrt(hidden / heads));
  const query = heads4d('query', [0, 2, 1, 3]);
  const key = heads4d('key', [0, 2, 3, 1]);
  const value = heads4d('value', [0, 2, 1, 3]);
  const scores = graph.add('Mul', [graph.add('MatMul', [query, key]), scale]);
  const shares = graph.add('Softmax', [graph.add('Add', [scores, scoreBias])], { axis: { int: -1 } });
  const mixed = graph.add('Transpose', [graph.add('MatMul', [shares, value])], {
    perm: { ints: [0, 2, 1, 3] },
  });
  const flat = graph.add('Reshape', [mixed, sizes.flat]);
  const name = `${prefix}attention.output.dense`;
  const output = linear(graph, flat, { name, inputs: hidden, outputs: hidden });
  const sum = graph.add('Add', [output, tokens]);
  return layerNorm(graph, { input: sum, name: `${prefix}attention.output.LayerNorm`, shape });
}

function feedForward({ graph, shape, prefix }: Layer, tokens: string): string {
  const { hidden, inner } = shape;
  const up = `${prefix}intermediate.dense`;
  const wide = graph.add('Gemm', [tokens, graph.weight(`${up}.weight`, [inner, hidden])], {
    transB: { int: 1 },
  });
  // The exact Gelu (erf), not the tanh approximation of FastGelu, which would be another embedding space.
  const active = graph.add('BiasGelu', [wide, graph.weight(`${up}.bias`, [inner])]);
  const narrow = linear(graph, active, { name: `${prefix}output.dense`, inputs: inner, outputs: hidden });
  const sum = graph.add('Add', [narrow, tokens]);
  return layerNorm(graph, { input: sum, name: `${prefix}output.LayerNorm`, shape });
}

/** Sum of the tokens that are no padding, then L2. The mean would be the same direction, so nothing is divided. */
function poolMean(graph: BertWeights, from: { tokens: string; mask: string; sizes: Sizes }): void {
  const perText = graph.add('Reshape', [from.tokens, from.sizes.perText]);
  const axis = graph.integers('pool_axis', [1]);
  const row = graph.add('Unsqueeze', [from.mask, axis]);
  const sum = graph.add('Squeeze', [graph.add('MatMul', [row, perText]), axis]);
  graph.nodes.push({
    op: 'LpNormalization',
    inputs: [sum],
    outputs: ['embedding'],
    attributes: { axis: { int: -1 }, p: { int: 2 } },
  });
}

function linear(
  graph: BertWeights,
  input: string,
  layer: { name: string; inputs: number; outputs: number },
): string {
  const weight = graph.weight(`${layer.name}.weight`, [layer.outputs, layer.inputs]);
  return graph.add('Gemm', [input, weight, graph.weight(`${layer.name}.bias`, [layer.outputs])], {
    transB: { int: 1 },
  });
}

function layerNorm(graph: BertWeights, norm: { input: string; name: string; shape: BertShape }): string {
  const { hidden, layerNormEpsilon } = norm.shape;
  const weight = graph.weight(`${norm.name}.weight`, [hidden]);
  const bias = graph.weight(`${norm.name}.bias`, [hidden]);
  return graph.add('LayerNormalization', [norm.input, weight, bias], {
    epsilon: { float: layerNormEpsilon },
  });
}

/** The builder, with the checkpoint's tensors by their names. */
class BertWeights extends GraphBuilder {
  readonly #file: WeightsFile;

  constructor(file: WeightsFile) {
    super();
    this.#file = file;
  }

  /** A float32 tensor of the safetensors file. Errors: `model_damaged`. */
  weight(name: string, dims: number[]): string {
    const { offset, bytes } = requireTensor(this.#file.tensors, name, dims);
    return this.external({ name, elementType: FLOAT, dims, file: this.#file.file, offset, bytes });
  }
}
