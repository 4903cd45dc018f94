import { attend, attentionMask } from './encoder-attention.ts';
import type { EncoderShape } from './encoder-layout.ts';
import {
  layerNorm,
  linear,
  toComputed,
  toStates,
  type Common,
  type EncoderWeights,
  type Part,
  type PlacedLinear,
  type Sizes,
} from './encoder-part.ts';
import { GraphBuilder } from './graph-builder.ts';
import { FLOAT, INT64, type ExternalTensor, type Graph } from './onnx-writer.ts';

/**
 * The graph of a sentence encoder: BERT, or nomic_bert, which differs in how it knows positions (rotary embedding), in its
 * feed-forward layer (gated) and in that its linear layers have no bias. Norms come after what they normalise in both.
 *
 * Inputs `input_ids` and `attention_mask`, int64 [batch, sequence], padded on the right. Output `embedding`, float32
 * [batch, hidden]: the mean of the tokens that are no padding, or the first token, L2 normalised where the space is. A row
 * whose mask is all zero has no direction and must not be sent.
 *
 * Operators are ONNX's own, which exist for every execution provider, where onnxruntime's fused ones gain nothing on the CPU:
 * SkipLayerNormalization takes ten times as long as Add + LayerNormalization, and a concatenated, transposed copy of the QKV
 * weights is no faster.
 */
export function encoderGraph(shape: EncoderShape, weights: EncoderWeights): Graph {
  const graph = new GraphBuilder();
  const mask = graph.add('Cast', ['attention_mask'], { to: { int: FLOAT } });
  const common = { graph, shape, weights, sizes: shapeConstants(graph, shape) };
  const attention = attentionMask(common, mask);
  let tokens = embedTokens(common);
  for (const layer of weights.layers) {
    const part: Part = { ...common, layer, mask: attention };
    tokens = feedForward(part, attended(part, tokens));
  }
  pool(common, tokens, mask);
  const ids = ['input_ids', 'attention_mask'].map((name) => ({
    name,
    elementType: INT64,
    dims: ['batch', 'sequence'],
  }));
  const embedding = { name: 'embedding', elementType: FLOAT, dims: ['batch', shape.hidden] };
  return { name: shape.kind, inputs: ids, outputs: [embedding], nodes: graph.nodes, weights: graph.weights };
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

/** Token + position, where there is a table of them, + type 0 (single texts only), normalised: [tokens, hidden]. */
function embedTokens(common: Common): string {
  const { graph, shape, weights } = common;
  const words = graph.tokenRows(weights.words, 'input_ids');
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

function attended(part: Part, tokens: string): string {
  const mixed = attend(part, toComputed(part, tokens));
  const output = toStates(part, linear(part.graph, part.layer.attentionOutput, mixed));
  return layerNorm(part, part.layer.attentionNorm, part.graph.add('Add', [output, tokens]));
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
