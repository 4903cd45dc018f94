import { GraphBuilder } from './graph-builder.ts';
import { FLOAT, INT32, INT64, type ExternalTensor, type Graph, type GraphValue } from './onnx-writer.ts';
import type { BlockLinear, TokenTable } from './placed-weights.ts';

/** What config.json says of a Qwen2 decoder, as far as the graph depends on it. */
export interface Qwen2Shape {
  kind: 'qwen2';
  layers: number;
  heads: number;
  /** Heads of keys and values; each serves `heads / kvHeads` query heads. */
  kvHeads: number;
  headSize: number;
  hidden: number;
  /** Width of the feed-forward layer. */
  inner: number;
  vocabulary: number;
  /** Longest sequence in tokens. */
  positions: number;
  rmsNormEpsilon: number;
  ropeTheta: number;
}

/** A linear layer as the variant stores it: floats [inputs, outputs], or integers in blocks with one scale each. */
export type PlacedLinear = { kind: 'float'; weight: ExternalTensor } | BlockLinear;

export interface Qwen2Layer {
  inputNorm: ExternalTensor;
  /** Query, key and value projections, one below the other. */
  qkv: PlacedLinear;
  qkvBias: ExternalTensor;
  attentionOutput: PlacedLinear;
  postNorm: ExternalTensor;
  gate: PlacedLinear;
  up: PlacedLinear;
  down: PlacedLinear;
}

/** Where a build has put the weights. */
export interface Qwen2Weights {
  tokens: TokenTable;
  /** [positions, headSize / 2], of the type that attention and linear layers compute in: float32 or float16. */
  cosines: ExternalTensor;
  sines: ExternalTensor;
  layers: readonly Qwen2Layer[];
  norm: ExternalTensor;
}

/** Names of the keys and values that a run takes and gives back: [texts, kvHeads, tokens, headSize], float32. */
export const keysAndValues = (direction: 'past' | 'present', layers: number): string[] =>
  Array.from({ length: layers }, (_, layer) => [
    `${direction}.${layer}.key`,
    `${direction}.${layer}.value`,
  ]).flat();

/**
 * The graph of a Qwen2 embedding model: causal attention, the last token's state after the final norm, L2 normalised.
 *
 * Inputs: `input_ids` int64 [batch, sequence], padded on the right; `last_token` int64 [batch, 1], the place of each text's
 * last token in its row; `seqlens_k` int32 [batch], tokens that the last one of each text sees besides itself;
 * `total_sequence_length` int32 [1], past and sequence together; and the keys and values of what came before
 * ({@link keysAndValues}), with no tokens in them at the beginning of a text. onnxruntime takes more than one text only there.
 * Outputs: `embedding` float32 [batch, hidden], and the keys and values up to here.
 *
 * Attention is causal, so padding on the right changes nothing, and a text may be computed in slices. After the last
 * attention only the last tokens matter: its projection and feed-forward layer run on them alone.
 *
 * GroupQueryAttention, MatMulNBits and SkipSimplifiedLayerNormalization are onnxruntime's own; QuickGelu with alpha 1 is the
 * SiLU of the feed-forward layer.
 *
 * `attention` says what attention computes in; by default in what the linear layers do. CUDA's knows float16 only.
 *
 * With float16 weights, attention and linear layers compute in float16, as GPUs do fast. The states that the layers add to, and
 * their norms, stay float32: they grow from layer to layer, in large models beyond what float16 holds. So do keys and values
 * outside, because onnxruntime-node takes and gives no float16.
 */
export function qwen2Graph(
  shape: Qwen2Shape,
  weights: Qwen2Weights,
  { attention: within = weights.cosines.elementType }: { attention?: number } = {},
): Graph {
  const graph = new GraphBuilder();
  let states = graph.tokenRows(weights.tokens, 'input_ids');
  let normed = graph.add(
    'SimplifiedLayerNormalization',
    [states, graph.external(weights.layers[0]?.inputNorm ?? weights.norm)],
    {
      epsilon: { float: shape.rmsNormEpsilon },
      axis: { int: -1 },
    },
  );
  weights.layers.forEach((layer, index) => {
    const isLast = index === shape.layers - 1;
    const part: Part = { graph, shape, weights, layer, index, within };
    let mixed = attention(part, toComputed(part, normed));
    if (isLast) {
      mixed = lastTokens(graph, mixed, 'mixed');
      states = lastTokens(graph, states, 'states');
    }
    const attended = toStates(part, linear(graph, layer.attentionOutput, mixed));
    const added = addAndNorm(part, {
      states,
      change: attended,
      gamma: layer.postNorm,
      name: `attended.${index}`,
    });
    const next = weights.layers[index + 1]?.inputNorm ?? weights.norm;
    const change = toStates(part, feedForward(part, toComputed(part, added.normed)));
    ({ states, normed } = addAndNorm(part, { ...added, change, gamma: next, name: `fed.${index}` }));
  });
  graph.addNamed('LpNormalization', {
    inputs: [graph.add('Squeeze', [normed, graph.integers('squeezed_axis', [1])])],
    outputs: ['embedding'],
    attributes: { axis: { int: -1 }, p: { int: 2 } },
  });
  return {
    name: 'qwen2',
    inputs: [...INPUTS, ...cacheValues('past', shape)],
    outputs: [
      { name: 'embedding', elementType: FLOAT, dims: ['batch', shape.hidden] },
      ...cacheValues('present', shape),
    ],
    nodes: graph.nodes,
    weights: graph.weights,
  };
}

const INPUTS: readonly GraphValue[] = [
  { name: 'input_ids', elementType: INT64, dims: ['batch', 'sequence'] },
  { name: 'last_token', elementType: INT64, dims: ['batch', 1] },
  { name: 'seqlens_k', elementType: INT32, dims: ['batch'] },
  { name: 'total_sequence_length', elementType: INT32, dims: [1] },
];

const cacheValues = (
  direction: 'past' | 'present',
  { layers, kvHeads, headSize }: Qwen2Shape,
): GraphValue[] =>
  keysAndValues(direction, layers).map((name) => ({
    name,
    elementType: FLOAT,
    // Of lengths with a name each, onnxruntime takes that of the present to be the past's, and where the past is not itself an
    // input, but cast from one, the present would be written over it, though it is longer.
    dims: ['batch', kvHeads, direction === 'past' ? null : 'present_tokens', headSize],
  }));

/** One layer while its nodes are added. */
interface Part {
  graph: GraphBuilder;
  shape: Qwen2Shape;
  weights: Qwen2Weights;
  layer: Qwen2Layer;
  index: number;
  /** The type that attention computes in. */
  within: number;
}

function cast(graph: GraphBuilder, value: string, { from, to }: { from: number; to: number }): string {
  return from === to ? value : graph.add('Cast', [value], { to: { int: to } });
}

/** From the float32 of the states to what the linear layers compute in, */
const toComputed = ({ graph, weights }: Part, value: string): string =>
  cast(graph, value, { from: FLOAT, to: weights.cosines.elementType });

/** and back. */
const toStates = ({ graph, weights }: Part, value: string): string =>
  cast(graph, value, { from: weights.cosines.elementType, to: FLOAT });

/**
 * The nodes that read the token table, by the names that they get as the graph's first. They may stay on the CPU beside a GPU: they
 * do no matrix work, the table is large, and not every GPU reads float16.
 */
export const TOKEN_NODES: readonly string[] = ['GatherBlockQuantized_0', 'Gather_0', 'Cast_1'];

/** [batch, sequence, heads * headSize]. */
function attention(part: Part, normed: string): string {
  const { graph, shape, weights, layer, index, within } = part;
  const outer = weights.cosines.elementType;
  const computed = graph.add('Add', [linear(graph, layer.qkv, normed), graph.external(layer.qkvBias)]);
  const qkv = cast(graph, computed, { from: outer, to: within });
  const mixed = `mixed.${index}`;
  const cache = (direction: 'past' | 'present') => [
    `${direction}.${index}.key`,
    `${direction}.${index}.value`,
  ];
  const outside = cache('present');
  const present = within === FLOAT ? outside : outside.map((name) => `${name}.half`);
  const past = cache('past').map((name) => cast(graph, name, { from: FLOAT, to: within }));
  const rotation = [weights.cosines, weights.sines].map((table) => rotationTable(part, table));
  graph.addNamed('GroupQueryAttention', {
    inputs: [qkv, '', '', ...past, 'seqlens_k', 'total_sequence_length', ...rotation],
    outputs: [mixed, ...present],
    attributes: {
      num_heads: { int: shape.heads },
      kv_num_heads: { int: shape.kvHeads },
      do_rotary: { int: 1 },
      rotary_interleaved: { int: 0 },
      scale: { float: 1 / Math.sqrt(shape.headSize) },
    },
  });
  if (within !== FLOAT)
    outside.forEach((name, at) => {
      const attributes = { to: { int: FLOAT } };
      graph.addNamed('Cast', { inputs: [present[at] as string], outputs: [name], attributes });
    });
  return cast(graph, mixed, { from: within, to: outer });
}

/** As attention reads it. onnxruntime casts a constant once, at load. */
function rotationTable({ graph, index, within }: Part, table: ExternalTensor): string {
  if (table.elementType === within) return graph.external(table);
  const name = `${table.name}.half`;
  const attributes = { to: { int: within } };
  if (index === 0) graph.addNamed('Cast', { inputs: [graph.external(table)], outputs: [name], attributes });
  return name;
}

function feedForward({ graph, layer }: Part, normed: string): string {
  const gate = graph.add('QuickGelu', [linear(graph, layer.gate, normed)], { alpha: { float: 1 } });
  return linear(graph, layer.down, graph.add('Mul', [gate, linear(graph, layer.up, normed)]));
}

/** states + change, and that normalised for what comes next. */
function addAndNorm(
  { graph, shape }: Part,
  from: { states: string; change: string; gamma: ExternalTensor; name: string },
): { states: string; normed: string } {
  const [states, normed] = [`${from.name}.sum`, `${from.name}.normed`];
  graph.addNamed('SkipSimplifiedLayerNormalization', {
    inputs: [from.states, from.change, graph.external(from.gamma)],
    outputs: [normed, '', '', states],
    attributes: { epsilon: { float: shape.rmsNormEpsilon } },
  });
  return { states, normed };
}

/** [batch, sequence, width] -> [batch, 1, width], the last token of each text. */
function lastTokens(graph: GraphBuilder, states: string, name: string): string {
  const rows = graph.add('GatherND', [states, 'last_token'], { batch_dims: { int: 1 } });
  return graph.add('Unsqueeze', [rows, graph.integers(`${name}.axis`, [1])]);
}

function linear(graph: GraphBuilder, layer: PlacedLinear, input: string): string {
  if (layer.kind === 'float') return graph.add('MatMul', [input, graph.external(layer.weight)]);
  return graph.blockLinear(layer, input);
}
