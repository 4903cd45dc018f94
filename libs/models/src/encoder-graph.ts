import type { EncoderLayer, EncoderParts, EncoderShape } from './encoder-layout.ts';
import { GraphBuilder } from './graph-builder.ts';
import { FLOAT, FLOAT16, INT64, type ExternalTensor, type Graph } from './onnx-writer.ts';
import type { BlockLinear } from './placed-weights.ts';

/** Floats [outputs, inputs], which is Gemm with transB, or integers in blocks. */
export interface PlacedLinear {
  matrix: { kind: 'float'; weight: ExternalTensor } | BlockLinear;
  bias?: ExternalTensor;
}

export interface PlacedNorm {
  weight: ExternalTensor;
  bias: ExternalTensor;
}

export interface EncoderWeights extends EncoderParts<PlacedLinear, PlacedNorm, ExternalTensor> {
  /** [positions, headSize / 2] each, of the type that attention computes in. */
  rotation?: { cosines: ExternalTensor; sines: ExternalTensor };
  /** Whether attention and linear layers compute in float16. */
  isHalf: boolean;
}

/** Added to the score of a padded key: exp(-10000) is 0 in float32 and the value still fits float16. */
const MASKED = -10_000;

/**
 * The graph of a sentence encoder: BERT, or nomic_bert, which differs in how it knows positions (rotary embedding), in its
 * feed-forward layer (gated) and in that its linear layers have no bias. Norms come after what they normalise in both.
 *
 * Inputs `input_ids` and `attention_mask`, int64 [batch, sequence], padded on the right. Output `embedding`, float32
 * [batch, hidden]: the mean of the tokens that are no padding, or the first token, L2 normalised where the space is. A row
 * whose mask is all zero has no direction and must not be sent.
 *
 * All operators but BiasGelu, QuickGelu, RotaryEmbedding and MatMulNBits are ONNX's own and exist for every execution
 * provider. onnxruntime's fused ones were measured on the CPU and left out: SkipLayerNormalization takes ten times as long as
 * Add + LayerNormalization, MultiHeadAttention is no faster than the operators it stands for (and refuses padding masks on
 * WebGPU), and a concatenated, transposed copy of the QKV weights gains nothing either.
 */
export function encoderGraph(shape: EncoderShape, weights: EncoderWeights): Graph {
  const graph = new GraphBuilder();
  const mask = graph.add('Cast', ['attention_mask'], { to: { int: FLOAT } });
  const common = { graph, shape, weights, sizes: shapeConstants(graph, shape) };
  const scoreBias = toComputed(common, maskedScores(graph, mask));
  let tokens = embedTokens(common);
  for (const layer of weights.layers) {
    const part: Part = { ...common, layer, scoreBias };
    tokens = feedForward(part, attention(part, tokens));
  }
  pool(common, tokens, mask);
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

interface Common {
  graph: GraphBuilder;
  shape: EncoderShape;
  weights: EncoderWeights;
  sizes: Sizes;
}

/** One layer while its nodes are added. */
interface Part extends Common {
  layer: EncoderLayer<PlacedLinear, PlacedNorm>;
  scoreBias: string;
}

function shapeConstants(graph: GraphBuilder, shape: EncoderShape): Sizes {
  const batchAndSequence = graph.add('Shape', ['input_ids']);
  const ending = (name: string, ...dims: number[]) =>
    graph.add('Concat', [batchAndSequence, graph.integers(name, dims)], { axis: { int: 0 } });
  return {
    flat: graph.integers('flat', [-1, shape.hidden]),
    perText: ending('hidden_size', shape.hidden),
    perHead: ending('head_sizes', shape.heads, shape.hidden / shape.heads),
  };
}

/** From the float32 of states and norms to what attention and linear layers compute in, */
const toComputed = ({ graph, weights }: Common, value: string): string =>
  weights.isHalf ? graph.add('Cast', [value], { to: { int: FLOAT16 } }) : value;

/** and back. */
const toStates = ({ graph, weights }: Common, value: string): string =>
  weights.isHalf ? graph.add('Cast', [value], { to: { int: FLOAT } }) : value;

/** [batch, 1, 1, sequence]: 0 where a token is, {@link MASKED} where padding is. */
function maskedScores(graph: GraphBuilder, mask: string): string {
  const inverted = graph.add('Sub', [graph.float('one', 1), mask]);
  const scores = graph.add('Mul', [inverted, graph.float('masked', MASKED)]);
  return graph.add('Unsqueeze', [scores, graph.integers('score_axes', [1, 2])]);
}

/** Token + position, where there is a table of them, + type 0 (single texts only), normalised: [tokens, hidden]. */
function embedTokens(common: Common): string {
  const { graph, shape, weights } = common;
  const { elementType } = weights.words;
  const rows = graph.add('Gather', [graph.external(weights.words), 'input_ids']);
  const words = elementType === FLOAT ? rows : graph.add('Cast', [rows], { to: { int: FLOAT } });
  const positions = weights.positions && embedPositions(graph, weights.positions);
  const type = graph.add('Gather', [graph.external(weights.types), graph.integers('type', [0])]);
  const same = positions ? graph.add('Add', [positions, type]) : type;
  const sum = graph.add('Add', [words, same]);
  const flat = graph.add('Reshape', [sum, graph.integers('embedding_flat', [-1, shape.hidden])]);
  return layerNorm(common, weights.embeddingNorm, flat);
}

function embedPositions(graph: GraphBuilder, table: ExternalTensor): string {
  const length = graph.add('Shape', ['input_ids'], { start: { int: 1 } });
  const first = graph.integers('first', [0]);
  return graph.add('Slice', [graph.external(table), first, length, first]);
}

function attention(part: Part, tokens: string): string {
  const { graph, shape, layer, sizes } = part;
  const input = toComputed(part, tokens);
  const heads4d = (name: 'query' | 'key' | 'value', order: number[]) => {
    const projected = linear(graph, layer[name], input);
    const placed = name === 'value' ? projected : rotate(part, projected);
    const split = graph.add('Reshape', [placed, sizes.perHead]);
    return graph.add('Transpose', [split], { perm: { ints: order } });
  };
  const scale = toComputed(part, graph.float('score_scale', 1 / Math.sqrt(shape.hidden / shape.heads)));
  const query = heads4d('query', [0, 2, 1, 3]);
  const key = heads4d('key', [0, 2, 3, 1]);
  const value = heads4d('value', [0, 2, 1, 3]);
  const scores = graph.add('Mul', [graph.add('MatMul', [query, key]), scale]);
  const shares = graph.add('Softmax', [graph.add('Add', [scores, part.scoreBias])], { axis: { int: -1 } });
  const mixed = graph.add('Transpose', [graph.add('MatMul', [shares, value])], {
    perm: { ints: [0, 2, 1, 3] },
  });
  const flat = graph.add('Reshape', [mixed, sizes.flat]);
  const output = toStates(part, linear(graph, layer.attentionOutput, flat));
  return layerNorm(part, layer.attentionNorm, graph.add('Add', [output, tokens]));
}

/** Queries or keys [tokens, hidden], turned by their positions where the architecture does so. */
function rotate({ graph, shape, weights, sizes }: Part, projected: string): string {
  if (!weights.rotation) return projected;
  const { cosines, sines } = weights.rotation;
  const perText = graph.add('Reshape', [projected, sizes.perText]);
  const first = graph.integers('first', [0]);
  const tables = [graph.external(cosines), graph.external(sines)];
  return graph.add('RotaryEmbedding', [perText, first, ...tables], {
    interleaved: { int: 0 },
    num_heads: { int: shape.heads },
  });
}

function feedForward(part: Part, tokens: string): string {
  const { graph, layer } = part;
  const input = toComputed(part, tokens);
  const active = layer.gate ? gated(part, layer.gate, input) : activated(graph, layer.up, input);
  const narrow = toStates(part, linear(graph, layer.down, active));
  return layerNorm(part, layer.outputNorm, graph.add('Add', [narrow, tokens]));
}

/** The exact Gelu (erf), not the tanh approximation of FastGelu, which would be another embedding space. */
function activated(graph: GraphBuilder, { matrix, bias }: PlacedLinear, input: string): string {
  const wide = linear(graph, { matrix }, input);
  return graph.add('BiasGelu', [wide, ...(bias ? [graph.external(bias)] : [])]);
}

/** QuickGelu with alpha 1 is SiLU. */
function gated({ graph, layer }: Part, gate: PlacedLinear, input: string): string {
  const share = graph.add('QuickGelu', [linear(graph, gate, input)], { alpha: { float: 1 } });
  return graph.add('Mul', [share, linear(graph, layer.up, input)]);
}

/** One vector a text, the output. */
function pool({ graph, shape, sizes }: Common, tokens: string, mask: string): void {
  const perText = graph.add('Reshape', [tokens, sizes.perText]);
  const axis = graph.integers('pool_axis', [1]);
  const row = shape.pooling === 'mean' ? graph.add('Unsqueeze', [mask, axis]) : '';
  const pooled = row
    ? graph.add('MatMul', [row, perText])
    : graph.add('Gather', [perText, graph.integers('first', [0])], { axis: { int: 1 } });
  const vector = graph.add('Squeeze', [pooled, axis]);
  if (shape.normalize)
    // The sum of the tokens has the direction of their mean, so nothing is divided.
    return graph.addNamed('LpNormalization', {
      inputs: [vector],
      outputs: ['embedding'],
      attributes: { axis: { int: -1 }, p: { int: 2 } },
    });
  const divisor = row
    ? graph.add('ReduceSum', [mask, axis], { keepdims: { int: 1 } })
    : graph.float('divisor', 1);
  graph.addNamed('Div', { inputs: [vector, divisor], outputs: ['embedding'] });
}

function linear(graph: GraphBuilder, { matrix, bias }: PlacedLinear, input: string): string {
  if (matrix.kind === 'float') {
    const inputs = [matrix.weight, ...(bias ? [bias] : [])].map((tensor) => graph.external(tensor));
    return graph.add('Gemm', [input, ...inputs], { transB: { int: 1 } });
  }
  const product = graph.blockLinear(matrix, input);
  return bias ? graph.add('Add', [product, graph.external(bias)]) : product;
}

function layerNorm({ graph, shape }: Common, norm: PlacedNorm, input: string): string {
  const inputs = [input, graph.external(norm.weight), graph.external(norm.bias)];
  return graph.add('LayerNormalization', inputs, { epsilon: { float: shape.layerNormEpsilon } });
}
