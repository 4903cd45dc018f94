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

/** A graph up to the states of its last layer. */
export interface EncoderStates extends Common {
  inputs: Graph['inputs'];
  /** [tokens of all texts, hidden]. */
  tokens: string;
  /** float32 [batch, sequence], 1 where there is a token. */
  mask: string;
}

/**
 * The layers of an encoder: BERT, or nomic_bert, which differs in how it knows positions (rotary embedding), in its
 * feed-forward layer (gated) and in that its linear layers have no bias. Norms come after what they normalise in both.
 *
 * Inputs `input_ids` and `attention_mask`, int64 [batch, sequence], padded on the right; of pairs of texts also `token_type_ids`.
 *
 * Operators are ONNX's own, which exist for every execution provider, where onnxruntime's fused ones gain nothing on the CPU:
 * SkipLayerNormalization takes ten times as long as Add + LayerNormalization, and a concatenated, transposed copy of the QKV
 * weights is no faster.
 */
export function encoderStates(
  shape: EncoderShape,
  weights: EncoderWeights,
  { ofPairs }: { ofPairs: boolean },
): EncoderStates {
  const graph = new GraphBuilder();
  const mask = graph.add('Cast', ['attention_mask'], { to: { int: FLOAT } });
  const common = { graph, shape, weights, sizes: shapeConstants(graph, shape) };
  const attention = attentionMask(common, mask);
  let tokens = embedTokens(common, ofPairs ? 'token_type_ids' : null);
  for (const layer of weights.layers) {
    const part: Part = { ...common, layer, mask: attention };
    tokens = feedForward(part, attended(part, tokens));
  }
  const names = ['input_ids', 'attention_mask', ...(ofPairs ? ['token_type_ids'] : [])];
  const inputs = names.map((name) => ({ name, elementType: INT64, dims: ['batch', 'sequence'] }));
  return { ...common, inputs, tokens, mask };
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

/** Token + position, where there is a table of them, + type (0 for single texts), normalised: [tokens, hidden]. */
function embedTokens(common: Common, typeIds: string | null): string {
  const { graph, shape, weights } = common;
  const words = graph.tokenRows(weights.words, 'input_ids');
  const positions = weights.positions && embedPositions(graph, weights.positions);
  const type = graph.add('Gather', [graph.external(weights.types), typeIds ?? graph.integers('type', [0])]);
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
